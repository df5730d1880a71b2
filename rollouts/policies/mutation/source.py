"""A Python file as the operators see it: text, syntax tree, exact character positions and scopes."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

# Python's own idea of a line; str.splitlines knows more line ends.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")

MAX_SOURCE = 200_000  #: characters; larger files are left alone

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutation:
    """Replace `[start, end)` (character offsets) of a file by `new`."""

    start: int
    end: int
    new: str
    op: str  #: operator family, see `weights.py`
    line: int  #: 1-based line whose suspicion counts
    prior: float = 0.0  #: log weight within its family
    target: str = ""  #: the name, attribute or key it replaces, for exact hints
    unused: bool = False  #: it brings in a name that the function does not use so far


class Source:
    """A parsed file. Raises `SyntaxError` or `ValueError` when it is no Python (or too large)."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_SOURCE:
            raise ValueError("too large to parse")
        self.text = text
        try:
            self.tree = ast.parse(text)
        except (RecursionError, MemoryError) as error:
            raise ValueError(f"too deeply nested to parse: {error}") from None
        self.lines: list[str] = _LINE.findall(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.parents: dict[ast.AST, ast.AST] = {}
        for parent in ast.walk(self.tree):
            for child in ast.iter_child_nodes(parent):
                self.parents[child] = parent

    def offset(self, line: int, column: int) -> int:
        """The character offset of a 1-based line and ast's column (UTF-8 bytes)."""
        text = self.lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self.starts[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Character offsets of a node."""
        return (
            self.offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def code(self, node: ast.AST) -> str:
        """A node's text."""
        start, end = self.span(node)
        return self.text[start:end]

    def indent(self, node: ast.stmt) -> str:
        """The white space before a statement's first line."""
        line = self.lines[node.lineno - 1]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def alone(self, node: ast.stmt) -> bool:
        """Whether a statement has its lines for itself (no `;`, nothing after a `:`)."""
        start, end = self.span(node)
        before = self.text[self.starts[node.lineno - 1] : start]
        after = self.text[end : self.starts[node.end_lineno or node.lineno]]
        return not before.strip() and (not after.strip() or after.strip().startswith("#"))

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement a node belongs to."""
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            at = self.parents.get(at)
        return at

    def function(self, node: ast.AST) -> Function | None:
        """The innermost function a node stands in."""
        at = self.parents.get(node)
        while at is not None and not isinstance(at, Function):
            at = self.parents.get(at)
        return at

    def within(self, node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> ast.AST | None:
        """The innermost ancestor of one of the kinds, inside the same function."""
        at = self.parents.get(node)
        while at is not None and not isinstance(at, Function):
            if isinstance(at, kinds):
                return at
            at = self.parents.get(at)
        return None

    def line_of(self, node: ast.AST) -> int:
        """The line under which the tracer counts a node: where its statement (or clause) begins."""
        statement = self.statement(node)
        if statement is None:
            return int(getattr(node, "lineno", 1))
        if isinstance(statement, ast.If | ast.While | ast.For | ast.With | Function | ast.ClassDef | ast.Try):
            return int(getattr(node, "lineno", statement.lineno))
        return statement.lineno

    @cached_property
    def scopes(self) -> dict[ast.AST | None, Scope]:
        """The names of each function (and of the module under None)."""
        scopes: dict[ast.AST | None, Scope] = {None: Scope(self.tree)}
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                scopes[node] = Scope(node)
        return scopes

    @cached_property
    def attributes(self) -> Counter[str]:
        """Attribute names used or defined in the file."""
        found: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                found[node.attr] += 1
            elif isinstance(node, ast.ClassDef):
                found.update(item.name for item in node.body if isinstance(item, Function))
        return found

    @cached_property
    def constants(self) -> Counter[int | float | str]:
        """Numbers and short strings written in the file, docstrings left out."""
        found: Counter[int | float | str] = Counter()
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Constant)
                and type(node.value) in (int, float, str)
                and not isinstance(self.parents.get(node), ast.Expr | ast.JoinedStr)
                and len(str(node.value)) <= 40
            ):
                found[node.value] += 1  # type: ignore[index]
        return found

    def names(self, node: ast.AST) -> Iterator[tuple[str, bool, bool]]:
        """(name, is local, is unused so far) of everything a node could refer to, locals first."""
        function = self.function(node)
        own = self.scopes[function]
        seen: set[str] = set()
        while True:
            scope = self.scopes[function]
            for name in scope.bound:
                if name not in seen:
                    seen.add(name)
                    yield name, scope is own and function is not None, own.loads[name] == 0
            if function is None:
                return
            function = self.function(function)


class Scope:
    """What a function (or module) binds and reads, nested functions left out."""

    def __init__(self, root: ast.AST) -> None:
        self.bound: dict[str, None] = {}  # an ordered set
        self.loads: Counter[str] = Counter()
        self.callables: set[str] = set()
        if isinstance(root, Function):
            spec = root.args
            for arg in [*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg]:
                if arg is not None:
                    self.bound[arg.arg] = None
        self.params = tuple(self.bound)
        self._read(root)

    def _read(self, root: ast.AST) -> None:
        for node in ast.iter_child_nodes(root):
            if isinstance(node, Function | ast.ClassDef):
                self.bound[node.name] = None
                self.callables.add(node.name)
                self.loads.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
                continue
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    self.loads[node.id] += 1
                else:
                    self.bound[node.id] = None
            elif isinstance(node, ast.arg):
                self.bound[node.arg] = None
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    name = (alias.asname or alias.name).split(".")[0]
                    self.bound[name] = None
                    self.callables.add(name)
            self._read(node)
