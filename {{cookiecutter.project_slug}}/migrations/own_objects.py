"""Finds the service's own database objects: those that its migrations created."""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

CREATE_TABLE = re.compile(r'\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)', re.IGNORECASE)


class OwnObjects:
    """Filters for autogenerate. All other objects belong to other applications."""

    def __init__(self, script: ScriptDirectory) -> None:
        self._script = script

    def include_name(self, name: str | None, kind: str, _: Any) -> bool:
        """Leave out tables that no migration has created."""
        return kind != "table" or name in self._tables

    def include_object(
        self, item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
    ) -> bool:
        """Leave out columns, indexes and constraints of own tables that no migration names."""
        if not reflected:
            # The constraint of a type, such as Enum, is added with its column.
            return not getattr(item, "_type_bound", False)
        if kind == "table" or compare_to is not None:
            return True
        return name in self._tables.get(item.table.name, ())

    @cached_property
    def _tables(self) -> dict[str, set[str]]:
        """Return the own tables, each with all names in the statements that name the table."""
        tables: dict[str, set[str]] = {}
        for revision in reversed(list(self._script.walk_revisions())):
            for statement in _upgrade(Path(revision.path)):
                nodes = list(ast.walk(statement))
                for node in nodes:
                    if isinstance(node, ast.Call):
                        _apply(tables, node)
                texts = {text for node in nodes for text in _texts(node)}
                for table in tables.keys() & texts:
                    tables[table] |= texts
        return tables


def _upgrade(migration: Path) -> Iterator[ast.stmt]:
    for node in ast.parse(migration.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade":
            yield from node.body


def _texts(node: ast.AST) -> set[str]:
    """Return the text of a literal, and each of its words, since it may be SQL."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value, *(re.findall(r"\w+", node.value) if " " in node.value else ())}
    return set()


def _apply(tables: dict[str, set[str]], call: ast.Call) -> None:
    """Update `tables` for a call that creates, renames or drops a table."""
    values = [node.value for node in call.args if isinstance(node, ast.Constant)]
    match getattr(call.func, "attr", ""), values:
        case "create_table", [str(name), *_]:
            tables[name] = set()
        case "rename_table", [str(old), str(new), *_]:
            tables[new] = tables.pop(old, set())
        case "drop_table", [str(name), *_]:
            tables.pop(name, None)
        case "execute" | "text", [str(sql), *_]:
            tables.update((name, set()) for name in CREATE_TABLE.findall(sql))
