"""The names of a resource in each file, and checks that they are free."""

import ast
import builtins
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from app.models import Base
from app.models.base import OwnedBase
from app.routers import ROUTERS
from app.routers.api import PREFIX
from app.schemas.owned import PageQuery
from scripts.generator.fields import (
    MAX_IDENTIFIER,
    MAX_NAME,
    MODULES,
    SYSTEM_COLUMNS,
    TYPES,
    Field,
)
from scripts.generator.source import GeneratorError, names_defined_by

TEMPLATES = Path(__file__).with_name("templates")
FILES = {
    "model": "app/models/{}.py",
    "schema": "app/schemas/{}.py",
    "repository": "app/repositories/{}.py",
    "router": "app/routers/{}.py",
    "tests": "tests/resources/{}.py",
}
REGISTRIES = ("app/models/__init__.py", "app/routers/__init__.py", "tests/resources/__init__.py")
MAX_LENGTH = 30
# Better Auth's tables may be in the same database.
OTHER_TABLES = {"account", "alembic_version", "jwks", "session", "user", "verification"}
RULE = "use lower-case ASCII letters, digits and single underscores, and begin with a letter"


@dataclass(frozen=True)
class Names:
    """The names of a resource. Its module is named `one`, the singular, its table `many`."""

    one: str
    many: str

    @property
    def model(self) -> str:
        return _capitalized(self.one)

    @property
    def plural(self) -> str:
        return _capitalized(self.many)

    @property
    def constant(self) -> str:
        return self.many.upper()

    @property
    def path(self) -> str:
        return self.many.replace("_", "-")

    def file(self, kind: str) -> str:
        return FILES[kind].format(self.one)

    def rendered(self, kind: str) -> str:
        """Return the text of a file of the resource, without fields."""
        template = Template((TEMPLATES / f"{kind}.py.txt").read_text(encoding="utf-8"))
        return template.substitute(
            one=self.one,
            One=self.model,
            ONE=self.one.upper(),
            many=self.many,
            Many=self.plural,
            MANY=self.constant,
            path=self.path,
        )


def _capitalized(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def resource_names(name: str, plural: str = "") -> Names:
    """Return the names of a new resource. Raises GeneratorError if one is invalid or taken."""
    for given in (name, plural) if plural else (name,):
        _check_form(given, MAX_LENGTH, separators="_-")
    one, many = name.replace("-", "_"), plural.replace("-", "_")
    if not many and one[-1] == "s" and one[-2:-1] not in ("s", "u", "i"):
        raise GeneratorError(
            f"{name} looks like a plural. Use the singular, or add the plural: "
            f"PLURAL={_plural(one)}"
        )
    names = Names(one, many or _plural(one))
    if names.many == one:
        raise GeneratorError(f"{name}: the plural must differ from the name.")
    _check_is_free(names)
    return names


def _plural(name: str) -> str:
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if re.search(r"(s|x|z|ch|sh)$", name) else f"{name}s"


def _check_form(name: str, limit: int, separators: str = "_") -> None:
    if not re.fullmatch(rf"[a-z][a-z0-9]*([{separators}][a-z0-9]+)*", name):
        raise GeneratorError(f"{name[:50]!r} is not a valid name: {RULE}.")
    if len(name) > limit:
        raise GeneratorError(f"{name[:50]!r} is too long. Use at most {limit} characters.")


def _check_is_free(names: Names) -> None:
    for kind in FILES:
        path = Path(names.file(kind))
        if path.exists() or path.with_suffix("").exists():
            raise GeneratorError(f"{names.one} exists already: {path}. Choose another name.")
    if re.match(r"test_|.*_test$|conftest$", names.one):
        raise GeneratorError(f"{names.one} looks like a test to pytest. Choose another name.")
    derived = {names.one, names.one.upper(), names.many, names.model}
    if not any(map(keyword.iskeyword, derived)):
        derived |= {name for kind in FILES for name in _defined(names.rendered(kind))}
        derived -= {name for kind in FILES for name in _defined(_PLACEHOLDER.rendered(kind))}
    for name in sorted(derived):
        if keyword.iskeyword(name) or hasattr(builtins, name):
            raise GeneratorError(
                f"{names.one}: {name} is a keyword or built-in of Python. Choose another name."
            )
    if used := sorted(derived & _identifiers()):
        raise GeneratorError(
            f"{names.one}: the project uses {used[0]} already. Choose another name."
        )
    tables = {*Base.metadata.tables, *OTHER_TABLES}
    if names.many in tables or names.many.startswith("sqlite_"):
        raise GeneratorError(f"{names.one}: the table {names.many} exists already or is reserved.")
    if names.model in {mapper.class_.__name__ for mapper in Base.registry.mappers}:
        raise GeneratorError(f"{names.one}: the model {names.model} exists already.")
    if f"{PREFIX}/{names.path}" in {router.prefix for router in ROUTERS}:
        raise GeneratorError(f"{names.one}: the endpoint {PREFIX}/{names.path} exists already.")


def check_field(names: Names, field: Field) -> None:
    """Raise GeneratorError if a resource cannot have a field of this name."""
    name = field.name
    _check_form(name, MAX_NAME)
    if keyword.iskeyword(name):
        raise GeneratorError(f"{name} is a keyword of Python. Choose another name.")
    if name in OwnedBase.__annotations__:
        raise GeneratorError(f"{name}: every resource has this column already.")
    if name == "user_id" or name in SYSTEM_COLUMNS:
        raise GeneratorError(f"{name} is reserved. Choose another name.")
    types = {each.row for each in TYPES.values()}
    is_member = hasattr(OwnedBase, name) or hasattr(PageQuery, name)
    used = {*types, *_identifiers("model", "schema")}
    if is_member or name in used or name.startswith("model_"):
        raise GeneratorError(f"{name} is used by models or schemas. Choose another name.")
    for parameter in field.parameters:
        if parameter in PageQuery.model_fields or hasattr(PageQuery, parameter):
            raise GeneratorError(f"{name}: lists have the query parameter {parameter} already.")
    index = f"ix_{names.many}__owner_id__{name}__id"
    if field.type.is_indexed and len(index) > MAX_IDENTIFIER:
        raise GeneratorError(
            f"{name} is too long: the name of its index, {index}, has {len(index)} characters, and "
            f"PostgreSQL allows {MAX_IDENTIFIER}. Use a shorter name."
        )
    if field.table:
        _check_reference(names, field)


def _check_reference(names: Names, field: Field) -> None:
    tables = Base.metadata.tables
    owned = sorted({name for name in tables if "owner_id" in tables[name].columns} | {names.many})
    if field.table not in owned:
        raise GeneratorError(
            f"{field.name}: there is no table {field.table!r} to refer to. "
            f"Use one of these: {', '.join(owned)}."
        )
    if field.table == names.many:
        if not field.optional:
            raise GeneratorError(
                f"{field.name}: a reference to the same table must be optional (?)."
            )
        return
    reached, new = set[str](), {field.table}
    while new:
        reached |= new
        keys = [key for name in new for key in tables[name].foreign_key_constraints]
        new = {key.referred_table.name for key in keys} - reached
    if names.many in reached:
        raise GeneratorError(
            f"{field.name}: {field.table} refers to {names.many}; references cannot be circular."
        )


@cache
def _identifiers(*kinds: str) -> frozenset[str]:
    """Return the names that templates and registries use for every resource.

    Members of classes are not among them.
    """
    sources = [_PLACEHOLDER.rendered(kind) for kind in kinds or FILES]
    if not kinds:
        sources += [Path(path).read_text(encoding="utf-8") for path in REGISTRIES]
    found = {name for source in sources for name in _used(ast.parse(source))}
    return frozenset(name for name in found | MODULES.keys() if "placeholder" not in name.lower())


_PLACEHOLDER = Names("placeholder", "placeholders")


def _used(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(asname=str(name)):
            yield name
        case ast.alias(name=name):
            yield name.partition(".")[0]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
    for child in ast.iter_child_nodes(node):
        is_member = isinstance(node, ast.ClassDef) and isinstance(child, ast.Assign | ast.AnnAssign)
        parts = [child.annotation] if isinstance(child, ast.AnnAssign) and is_member else []
        if is_member and isinstance(child, ast.Assign | ast.AnnAssign):
            for part in [*parts, *([child.value] if child.value else [])]:
                yield from _used(part)
        else:
            yield from _used(child)


def _defined(source: str) -> set[str]:
    return {name for node in ast.parse(source).body for name in names_defined_by(node)}
