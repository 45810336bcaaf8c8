"""Compile SQLAlchemy expressions once, to run them with the bare driver.

Running a statement through SQLAlchemy's connection and result objects takes longer than the rest
of a request. So this module gets only the SQL of an expression and its type conversions from
SQLAlchemy, and `app.engine` runs the SQL.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

from sqlalchemy import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from app.engine import DIALECT, type_code

MAX_COMPILED = 500  # about 20 KB each

Convert = Callable[[Any], Any]
Record = dict[str, Any]
"""A row: its values, keyed by column."""


class DriverRow(Protocol):
    """A row as the driver returns it."""

    def keys(self) -> Iterable[str]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Statement:
    """The SQL of an expression, and the conversions of its parameters and rows.

    `reads` is true for a SELECT, which changes nothing.
    """

    def __init__(self, expression: Executable) -> None:
        compiled = cast(SQLCompiler, cast(Any, expression).compile(dialect=DIALECT))
        binds = compiled.binds
        columns = getattr(expression, "exported_columns", ())
        is_positional = getattr(expression, "positional", True)  # else text().columns(name=type)
        self.reads = expression.is_select
        self._sql = compiled.string
        self._names: Sequence[str] = compiled.positiontup or ()
        self._fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
        self._generated = {
            **{name: bind.callable for name, bind in binds.items() if bind.callable},
            **{column.key: _generator(column.default) for column in compiled.insert_prefetch},
            **{column.key: _generator(column.onupdate) for column in compiled.update_prefetch},
        }
        self._to_driver = {name: _to_driver(bind.type) for name, bind in binds.items()}
        self._from_driver: dict[int | str, Convert | None] = {
            place if is_positional else column.key: _from_driver(column.type)
            for place, column in enumerate(columns)
        }
        self._keys: tuple[str, ...] = ()
        self._converted: list[tuple[str, Convert]] = []
        # `IN` over a list has a parameter for each value, so its SQL depends on the values.
        depends_on_values = compiled.post_compile_params or compiled.literal_execute_params
        self._expanding = compiled if depends_on_values else None

    def bind(self, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """Return the SQL and its arguments for `values`, which are keyed by parameter.

        Column defaults apply. Raises TypeError if a parameter has no value, or if a value has no
        parameter.
        """
        if unknown := values.keys() - self._to_driver.keys():
            raise TypeError(f"no such parameters: {', '.join(unknown)}")
        given = {**self._fixed, **values}
        for name, generate in self._generated.items():
            if name not in values:
                given[name] = generate()
        sql, names, to_driver = self._sql, self._names, self._to_driver
        if self._expanding:
            expanded = self._expanding.construct_expanded_state(given)
            sql, names = expanded.statement, expanded.positiontup or ()
            given = dict(expanded.parameters)
            to_driver = {**to_driver, **expanded.processors}
        try:
            return sql, [
                convert(given[name]) if (convert := to_driver.get(name)) else given[name]
                for name in names
            ]
        except KeyError as error:
            raise TypeError(
                f"no value for the parameter {error}: pass values by name, and the owner as `owner`"
            ) from None

    def records(self, rows: Sequence[DriverRow]) -> list[Record]:
        """Return the rows as dictionaries, with values of the columns' Python types.

        Raises TypeError if two columns have the same name.
        """
        if not rows:
            return []
        if not self._keys:
            self._learn_keys(rows[0])
        records = [dict(zip(self._keys, row, strict=True)) for row in rows]
        for key, convert in self._converted:
            for record in records:
                record[key] = convert(record[key])
        return records

    def _learn_keys(self, row: DriverRow) -> None:
        """Get the column names from the driver, because only the SQL has all labels."""
        keys = tuple(row.keys())
        if len({*keys}) < len(keys):
            raise TypeError(f"two columns have the same name, give one a label: {', '.join(keys)}")
        for place, key in enumerate(keys):
            if convert := self._from_driver.get(place) or self._from_driver.get(key):
                self._converted.append((key, convert))
        self._keys = keys


@lru_cache(MAX_COMPILED)
def compiled(expression: Executable) -> Statement:
    """Return the compiled statement of an expression, which is cached after the first call.

    Compiling takes about as long as running ten statements. So if requests use an expression, build
    it once: at module level, or in a function with a cache.
    """
    return Statement(expression)


def _to_driver(column_type: TypeEngine[Any]) -> Convert | None:
    return column_type.dialect_impl(DIALECT).bind_processor(DIALECT)


def _from_driver(column_type: TypeEngine[Any]) -> Convert | None:
    return column_type.dialect_impl(DIALECT).result_processor(DIALECT, type_code(column_type))


def _generator(default: Any) -> Callable[[], Any]:
    """Return a function that computes the default of a column."""
    if default.is_callable:
        return lambda: default.arg(None)  # in place of SQLAlchemy's execution context
    return lambda: default.arg
