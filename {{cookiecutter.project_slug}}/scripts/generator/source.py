"""Edits Python files by inserting lines. Existing lines do not change."""

import ast
import re
from collections.abc import Iterable, Mapping


class GeneratorError(Exception):
    """The command failed and has changed nothing. The message is one line."""


class Source:
    """The text of a Python file. Format it with ruff afterwards."""

    def __init__(self, path: str, text: str, modules: Mapping[str, str]) -> None:
        """`modules` has the module of each name that inserted lines may have to import."""
        self.path = path
        self.text = text
        self._modules = modules

    def add_member(self, class_name: str, line: str, *, before: str | None = None) -> None:
        """Add a line like `title: str` to a class, after the others or before one of them."""
        found = self._class(class_name)
        name = line.partition(":")[0]
        members = [node for node in found.body if isinstance(node, ast.AnnAssign)]
        names = [_name(node.target) for node in members]
        if name in names:
            raise GeneratorError(f"{class_name} in {self.path} has {name} already.")
        head = [node for node in found.body if not isinstance(node, _FUNCTIONS)]
        if before in names:
            self._insert_lines(members[names.index(before)].lineno - 1, f"    {line}")
        elif members:
            self._insert_lines(_end(found.body, members[-1]), f"    {line}")
        elif isinstance(found.body[0], ast.Pass):
            self._replace_line(found.body[0].lineno, f"    {line}")
        elif head:
            self._insert_lines(_end(found.body, head[-1]), "", f"    {line}")
        else:
            self._insert_lines(_start(found.body[0]) - 1, f"    {line}", "")
        self._import_names_in(line.partition(":")[2].partition("=")[0].strip())
        self._import_names_in(line.partition(":")[2].partition("=")[2].strip())

    def add_element(
        self,
        name: str,
        element: str,
        *,
        class_name: str | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> None:
        """Add an element to the tuple or list `name`, of a class or of the module.

        If the class has no such name, create the tuple below the assignment of `after`. The
        element goes to the end, or before the last element if that is `before`.
        """
        value = self._assigned(name, class_name)
        if value is None and class_name and after:
            line = self._statement(after, class_name).end_lineno or 0
            self._insert_lines(line, f"    {name} = ({element},)")
        elif isinstance(value, ast.Tuple | ast.List):
            position = len(value.elts)
            if value.elts and before == ast.unparse(value.elts[-1]):
                position -= 1
            self._insert_element(value, value.elts, value.elts, element, position)
        else:
            raise self._missing(f"the tuple or list {name}", class_name)
        self._import_names_in(element)

    def constant(self, name: str, class_name: str) -> str:
        """Return the string that a class assigns to a name."""
        value = self._assigned(name, class_name)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        raise self._missing(name, class_name)

    def add_argument_entry(self, call: str, argument: str, entry: str) -> None:
        """Add an entry like `"title": []` to a dictionary in `NAME = call(argument={…})`."""
        for node in self._tree.body:
            value = node.value if isinstance(node, ast.Assign) else None
            if isinstance(value, ast.Call) and ast.unparse(value.func) == call:
                for keyword in value.keywords:
                    if keyword.arg == argument and isinstance(keyword.value, ast.Dict):
                        keys = [key for key in keyword.value.keys if key]
                        values = keyword.value.values
                        self._insert_element(keyword.value, keys, values, entry, len(values))
                        return
        raise self._missing(f"a dictionary {argument} of a {call}")

    def add_definition(self, line: str) -> None:
        """Add a line like `Status = Literal["open"]` before the first class."""
        name = line.partition(" =")[0]
        if any(name in names_defined_by(node) for node in self._tree.body):
            raise GeneratorError(f"{self.path} defines {name} already.")
        classes = [node for node in self._tree.body if isinstance(node, ast.ClassDef)]
        line_number = _start(classes[0]) - 1 if classes else self.text.count("\n")
        above = [node for node in self._tree.body if (node.end_lineno or 0) <= line_number]
        if above and isinstance(above[-1], ast.Assign):
            self._insert_lines(above[-1].end_lineno or 0, line)
        else:
            self._insert_lines(line_number, line, "", "")
        self._import_names_in(line.partition("=")[2].strip())

    def add_import(self, module: str, name: str) -> None:
        """Import a name, on a line of its own. Ruff merges and sorts the imports."""
        at = 0
        for node in self._tree.body:
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == module
                and name in (alias.name for alias in node.names if not alias.asname)
            ):
                return
            if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
                at = node.end_lineno or 0
        self._insert_lines(at, f"from {module} import {name}")

    def _import_names_in(self, expression: str) -> None:
        for name in sorted(names_in(expression) & self._modules.keys()):
            self.add_import(self._modules[name], name)

    @property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.text)
        except SyntaxError as error:
            raise GeneratorError(f"{self.path}: line {error.lineno} is not valid Python") from None

    def _class(self, name: str) -> ast.ClassDef:
        for node in self._tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return node
        raise self._missing(f"the class {name}")

    def _missing(self, what: str, class_name: str | None = None) -> GeneratorError:
        place = f"{class_name} in {self.path}" if class_name else self.path
        return GeneratorError(
            f"Cannot find {what} in {place}. Restore it, or add the field by hand."
        )

    def _statement(self, name: str, class_name: str | None) -> ast.stmt:
        body = self._class(class_name).body if class_name else self._tree.body
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return node
        raise self._missing(f"{name} =", class_name)

    def _assigned(self, name: str, class_name: str | None) -> ast.expr | None:
        """Return the value that is assigned to a name, or None if a class does not have it."""
        try:
            value: ast.expr | None = getattr(self._statement(name, class_name), "value", None)
        except GeneratorError:
            if class_name and self._class(class_name):
                return None
            raise
        return value

    def _insert_element(
        self,
        container: ast.expr,
        starts: Iterable[ast.expr],
        ends: Iterable[ast.expr],
        element: str,
        position: int,
    ) -> None:
        starts, ends = list(starts), list(ends)
        if position < len(ends):
            at = self._offset(starts[position].lineno, starts[position].col_offset)
            self.text = f"{self.text[:at]}{element}, {self.text[at:]}"
            return
        stop = self._offset(container.end_lineno or 0, container.end_col_offset or 0)
        if not ends:
            closing = stop - 1
            self.text = f"{self.text[:closing]}{element},{self.text[closing:]}"
            return
        at = self._offset(ends[-1].end_lineno or 0, ends[-1].end_col_offset or 0)
        rest = self.text[at:stop]
        if "\n" in rest:
            # A comment after the last element stays on its line.
            line, _, closing_lines = rest.partition("\n")
            comma = "" if line.lstrip().startswith(",") else ","
            rest = f"{comma}{line}\n{element},\n{closing_lines}"
        else:
            rest = f", {element}{re.sub(r'^,(?=.*[)])', '', rest)}"
        self.text = self.text[:at] + rest + self.text[stop:]

    def _offset(self, line: int, column: int) -> int:
        """Return the index in the text of a position of `ast`. Its columns are bytes of UTF-8."""
        lines = self.text.split("\n")
        characters = len(lines[line - 1].encode()[:column].decode())
        return sum(len(each) + 1 for each in lines[: line - 1]) + characters

    def _insert_lines(self, after: int, *inserted: str) -> None:
        lines = self.text.split("\n")
        lines[after:after] = inserted
        self.text = "\n".join(lines)

    def _replace_line(self, number: int, line: str) -> None:
        lines = self.text.split("\n")
        lines[number - 1] = line
        self.text = "\n".join(lines)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def names_in(expression: str) -> set[str]:
    """Return the names that an expression uses."""
    nodes = ast.walk(ast.parse(expression))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def names_defined_by(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {_name(target) for target in node.targets}
    return {_name(node.target)} if isinstance(node, ast.AnnAssign) else set()


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _start(node: ast.stmt) -> int:
    """Return the number of the first line of a statement, including decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _end(body: list[ast.stmt], node: ast.stmt) -> int:
    """Return the number of the last line of a class member, including a docstring below it."""
    following = body[body.index(node) + 1 :]
    last = following[0] if following and _is_docstring(following[0]) else node
    return last.end_lineno or 0
