"""Tables in which Ann and Bob have equal rows, to check that Ann's statements ignore Bob's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, ForeignKey, StaticPool, create_engine, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

ANN, BOB = "ann", "bob"


class Base(DeclarativeBase):
    pass


class Place(Base):
    """A table without owners."""

    __tablename__ = "places"

    name: Mapped[str] = mapped_column(primary_key=True)
    area: Mapped[int]


class Note(Base):
    __tablename__ = "notes"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(unique=True)
    size: Mapped[int | None]
    place: Mapped[str | None] = mapped_column(ForeignKey("places.name"))
    where: Mapped[Place | None] = relationship()


class Tag(Base):
    __tablename__ = "tags"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[int | None]  # a column with the name of a table
    note: Mapped[list[Note]] = relationship(
        primaryjoin="foreign(Note.id) == Tag.id", lazy="raise", viewonly=True
    )


class Numbered(Base):
    """A table whose default id is a query over the rows of all users."""

    __tablename__ = "numbered"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(
        primary_key=True,
        default=select(Note.id).order_by(Note.id.desc()).limit(1).scalar_subquery(),
    )


@contextmanager
def database_of(*users: str) -> Iterator[Connection]:
    """Yield a connection to an in-memory database in which each user has the same rows."""
    engine = create_engine("sqlite://", poolclass=StaticPool, enable_from_linting=False)
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        for area, name in enumerate(["here", "there"]):
            connection.execute(insert(Place), {"name": name, "area": area})
        for user in users:
            for number in (1, 2, 3):
                own: dict[str, Any] = {"owner_id": user, "id": number}
                note = {**own, "title": f"{user} {number}", "size": number, "place": "here"}
                connection.execute(insert(Note), note)
                connection.execute(insert(Tag), {**own, "notes": number})
        connection.commit()
        yield connection
    engine.dispose()


def outcome(connection: Connection, statement: Executable) -> tuple[Any, list[str], list[str]]:
    """Run a statement as Ann. Return its result, Ann's rows afterwards, and all other rows."""
    try:
        result = connection.execute(statement, {"owner_": ANN})
        returned = sorted(map(repr, result.all())) if result.returns_rows else None
    except IntegrityError as error:
        returned = [str(error.orig)]
    rows = [
        (row.owner_id, repr((table.name, row)))
        for table in Base.metadata.sorted_tables
        if "owner_id" in table.columns
        for row in connection.execute(select(table))
    ]
    connection.rollback()
    hers = sorted(row for owner, row in rows if owner == ANN)
    return returned, hers, sorted(row for owner, row in rows if owner != ANN)
