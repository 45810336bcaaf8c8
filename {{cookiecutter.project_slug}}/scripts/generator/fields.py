"""The types of fields, and the lines that a field adds to the files of its resource."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from pydantic import StrictBool, TypeAdapter, ValidationError

from app.schemas.fields import (
    Date,
    LongText,
    ShortText,
    StrictInteger,
    StrictNumber,
    Timestamp,
)
from scripts.generator.source import GeneratorError

# The modules of the names that the lines below use.
MODULES = {
    "BigInteger": "sqlalchemy",
    "Date": "app.schemas.fields",
    "Filter": "app.repositories.filters",
    "Integer": "app.schemas.fields",
    "Literal": "typing",
    "LongText": "app.schemas.fields",
    "Number": "app.schemas.fields",
    "Prefix": "app.schemas.fields",
    "ShortText": "app.schemas.fields",
    "StrictBool": "pydantic",
    "StrictInteger": "app.schemas.fields",
    "StrictNumber": "app.schemas.fields",
    "String": "sqlalchemy",
    "Text": "sqlalchemy",
    "Timestamp": "app.schemas.fields",
    "UTC": "datetime",
    "UUID": "uuid",
    "UtcDateTime": "app.engine",
    "begins_with": "app.engine",
    "date": "datetime",
    "datetime": "datetime",
    "ge": "operator",
    "le": "operator",
    "mapped_column": "sqlalchemy.orm",
    "owned_index": "app.models.base",
    "owned_reference": "app.models.base",
}
MAX_CHOICE = 50  # characters, the length of the column: adding a choice needs no migration
MAX_DEFAULT = 40  # characters of text in one line of code
MAX_NAME = 40
MAX_IDENTIFIER = 63  # PostgreSQL truncates longer names
SYSTEM_COLUMNS = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}  # of PostgreSQL


@dataclass(frozen=True)
class FieldType:
    """The Python code of a type in each layer.

    `filters` maps suffixes of query parameters to operators; "" stands for equality.
    """

    row: str
    body: str
    values: Any  # the type by which pydantic validates defaults
    column: str = ""
    query: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    unindexed: str = ""
    prefixes: bool = False
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()

    @property
    def is_indexed(self) -> bool:
        return bool(self.filters) and not self.unindexed


RANGE = {"_min": "ge", "_max": "le"}
TYPES = {
    "str": FieldType(
        row="str",
        body="ShortText",
        values=ShortText,
        column="String(200)",
        query="Prefix",
        filters={"_prefix": "begins_with"},
        prefixes=True,
        accepted=('"Some text"', '"x" * 200', '"買牛奶 🥛"'),
        rejected=('""', '" \\n"', "1", '"x" * 201', '"a\\x00b"'),
    ),
    "text": FieldType(
        row="str",
        body="LongText",
        values=LongText,
        column="Text",
        accepted=('"Two\\nlines"', '"x" * 10_000'),
        rejected=("1", '"x" * 10_001', '"a\\x00b"'),
    ),
    "int": FieldType(
        row="int",
        body="StrictInteger",
        values=StrictInteger,
        column="BigInteger",
        query="Integer",
        filters=RANGE,
        accepted=("1", "0", "-(2**53) + 1", "2**53 - 1"),
        rejected=('"1"', "1.5", "True", "2**53"),
    ),
    "float": FieldType(
        row="float",
        body="StrictNumber",
        values=StrictNumber,
        query="Number",
        filters=RANGE,
        accepted=("1.5", "0", "-1e300"),
        rejected=('"1.5"', "True"),
    ),
    "bool": FieldType(
        row="bool",
        body="StrictBool",
        values=StrictBool,
        query="bool",
        filters={"": ""},
        unindexed="only two values",
        accepted=("False", "True"),
        rejected=('"true"', "1"),
    ),
    "date": FieldType(
        row="date",
        body="Date",
        values=Date,
        query="Date",
        filters=RANGE,
        accepted=('"2026-01-31"', '"0001-01-01"', '"9999-12-31"'),
        rejected=('"2026-02-30"', '"31.1.2026"', '"2026-01-31T12:00:00Z"', "1"),
    ),
    "datetime": FieldType(
        row="datetime",
        body="Timestamp",
        values=Timestamp,
        column="UtcDateTime",
        query="Timestamp",
        filters=RANGE,
        accepted=('"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00.000001Z"'),
        rejected=('"2026-01-31T12:00:00"', '"2026-01-31"', "1"),
    ),
}
SYNTAX = {**dict.fromkeys(TYPES), "enum": "enum(a,b)", "ref": "ref(tasks)"}


@dataclass(frozen=True)
class Field:
    """A field of a resource. `default` is Python code; `table` is the one a reference refers to."""

    name: str
    type: FieldType
    optional: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    table: str = ""
    cascade: bool = False

    @property
    def parameters(self) -> list[str]:
        """The query parameters by which lists can be filtered."""
        return [f"{self.name}{suffix}" for suffix in self.type.filters]

    def alias(self, resource: str) -> str:
        """The name of the type that lists the choices."""
        return resource + "".join(word.capitalize() for word in self.name.split("_"))

    def _typed(self, kind: str, resource: str) -> str:
        return self.alias(resource) if self.choices else kind

    def definition(self, resource: str) -> str:
        choices = ", ".join(f'"{choice}"' for choice in self.choices)
        return f"{self.alias(resource)} = Literal[{choices}]"

    def in_model(self) -> str:
        annotation = f"{self.type.row} | None" if self.optional else self.type.row
        default = f"default={self.default}" if self.default else ""
        arguments = ", ".join(filter(None, (self.type.column, default)))
        line = f"{self.name}: Mapped[{annotation}]"
        return f"{line} = mapped_column({arguments})" if arguments else line

    def in_table_args(self) -> list[str]:
        items = []
        if self.table:
            cascade = ', ondelete="CASCADE"' if self.cascade else ""
            items.append(f'owned_reference("{self.name}", "{self.table}"{cascade})')
        if self.type.is_indexed:
            prefixes = ", for_prefixes=True" if self.type.prefixes else ""
            items.append(f'owned_index("{self.name}"{prefixes})')
        return items

    def in_create(self, resource: str) -> str:
        body = self._typed(self.type.body, resource)
        if self.optional:
            return f"{self.name}: {body} | None = None"
        return f"{self.name}: {body} = {self.default}" if self.default else f"{self.name}: {body}"

    def in_update(self, resource: str) -> str:
        nullable = " | None" if self.optional else ""
        return f"{self.name}: {self._typed(self.type.body, resource)} | MISSING{nullable} = MISSING"

    def in_read(self, resource: str) -> str:
        row = self._typed(self.type.row, resource)
        return f"{self.name}: {row} | None" if self.optional else f"{self.name}: {row}"

    def in_query(self, resource: str) -> list[str]:
        query = self._typed(self.type.query, resource)
        return [f"{name}: {query} | None = None" for name in self.parameters]

    def in_filters(self, resource: str) -> list[str]:
        unindexed = f', unindexed="{self.type.unindexed}"' if self.type.unindexed else ""
        return [
            f'Filter("{self.name}{suffix}", {resource}.{self.name}'
            f"{operator and f', {operator}'}{unindexed})"
            for suffix, operator in self.type.filters.items()
        ]

    def in_accepted(self) -> str:
        values = [*(["None"] if self.optional else []), *self.type.accepted]
        return f'"{self.name}": [{", ".join(values)}]'

    def in_rejected(self) -> str:
        values = [*([] if self.optional else ["None"]), *self.type.rejected]
        return f'"{self.name}": [{", ".join(values)}]'


FIELD = re.compile(
    r"""(?P<name>[^\s:=?()"]+)
    :(?P<type>\w+)(?:\((?P<arguments>[^()"]*)\))?
    (?P<optional>\?)?
    (?:=(?P<default>"[^"]*"|[^\s"()]+))?""",
    re.VERBOSE,
)


def parse_fields(text: str) -> list[Field]:
    """Return the fields that a text like "title:str due_on:date?" describes."""
    if any(not character.isprintable() for character in text):
        raise GeneratorError("A field cannot contain line breaks or other control characters.")
    fields: list[Field] = []
    rest = text.strip()
    while rest:
        found = FIELD.match(rest)
        if not found or not re.match(r"\s|$", rest[found.end() :]):
            raise GeneratorError(
                f"Cannot read {rest[:50]!r}: a field is written like title:str, due_on:date?, "
                "archived:bool=false, status:enum(open,done) or task:ref(tasks)."
            )
        fields.append(_field(found))
        rest = rest[found.end() :].lstrip()
    if not fields:
        raise GeneratorError('Name at least one field: FIELDS="title:str due_on:date?"')
    names = [each.name for each in fields]
    for name in names:
        if names.count(name) > 1:
            raise GeneratorError(f"The field {name} is listed twice. Remove one.")
    return fields


def _field(found: re.Match[str]) -> Field:
    name, kind, arguments = found["name"], found["type"], found["arguments"]
    optional, default = bool(found["optional"]), found["default"]
    if kind not in SYNTAX:
        raise GeneratorError(f"{name}: there is no type {kind[:50]!r}. Use {_list_types()}.")
    if (arguments is None) != (kind in TYPES):
        raise GeneratorError(f"{name}: write the type as {SYNTAX[kind] or kind}.")
    if optional and default:
        raise GeneratorError(f"{name}: a field is either optional (?) or has a default (=).")
    if kind == "ref":
        if default:
            raise GeneratorError(f"{name}: a reference cannot have a default.")
        return _reference(name, arguments, optional)
    made = _choice(name, arguments) if kind == "enum" else Field(name, TYPES[kind])
    made = replace(made, optional=optional)
    return replace(made, default=_default(made, default)) if default else made


def _list_types() -> str:
    return ", ".join(written or name for name, written in SYNTAX.items())


def _reference(name: str, arguments: str, optional: bool) -> Field:
    table, *options = [part.strip() for part in arguments.split(",")]
    if not table or options not in ([], ["cascade"]):
        raise GeneratorError(f"{name}: write the type as ref(tasks) or ref(tasks,cascade).")
    kind = FieldType(row="UUID", body="UUID", values=None, query="UUID", filters={"": ""})
    column = f"{name.removesuffix('_id')}_id"
    return Field(column, kind, optional, table=table, cascade=bool(options))


def _choice(name: str, arguments: str) -> Field:
    choices = tuple(part.strip() for part in arguments.split(","))
    if len(set(choices)) < max(2, len(choices)):
        raise GeneratorError(f"{name}: an enum needs at least two different values.")
    for choice in choices:
        if len(choice) > MAX_CHOICE or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", choice):
            raise GeneratorError(
                f"{name}: {choice[:60]!r} cannot be a value of an enum. Use at most {MAX_CHOICE} "
                "letters, digits, dots, hyphens and underscores."
            )
    kind = FieldType(
        row="str",
        body="",
        values=None,
        column=f"String({MAX_CHOICE})",
        filters={"": ""},
        accepted=tuple(f'"{choice}"' for choice in choices),
        rejected=('"none of these"', "1"),
    )
    return Field(name, kind, choices=choices)


def _default(made: Field, written: str) -> str:
    """Return the code of a default. Raises GeneratorError if the field would not accept it."""
    text = written.strip('"')
    invalid = f"{made.name}: the default {text[:50]!r} is not valid"
    if made.choices:
        if text not in made.choices:
            raise GeneratorError(f"{invalid}: it is not one of the values.")
        return f'"{text}"'
    value: Any = text
    try:
        if made.type.row == "bool":
            value = {"true": True, "false": False}.get(text, text)
        elif made.type.row == "int":
            value = int(text)
        elif made.type.row == "float":
            value = float(text)
        checked = TypeAdapter(made.type.values).validate_python(value)
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise GeneratorError(f"{invalid}: {reason}.") from None
    return _code(made.name, checked)


def _code(name: str, value: Any) -> str:
    if isinstance(value, str) and len(value) > MAX_DEFAULT:
        raise GeneratorError(
            f"{name}: the default is longer than {MAX_DEFAULT} characters. Use a shorter one, and "
            "change it in the model and the schema."
        )
    if isinstance(value, datetime):
        parts = [*value.timetuple()[:6], *([value.microsecond] if value.microsecond else [])]
        return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
    if isinstance(value, date):
        return f"date({value.year}, {value.month}, {value.day})"
    return repr(value)
