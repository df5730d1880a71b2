"""Tests that must fail: copies of test files in which every test expects something that is not so.

One expectation of each test is changed where that must make it fail for all work that passes the original: a
literal on one side of `==` becomes another of its kind, an exception that should be raised another one, a
condition its opposite. Only statements that surely run are touched. The choice is random, so that nobody can
tell a spoiled expectation from a right one without knowing the right one.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .python_source import parse_python

#: (start, end, replacement) in bytes of the file
Edit = tuple[int, int, str]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OTHER_ERRORS = ("BufferError", "FloatingPointError", "UnicodeTranslateError", "ChildProcessError")
#: in contexts that keep a failure to themselves
_SWALLOWING = ("suppress", "subTest", "subtests")
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}


@dataclass(frozen=True)
class Spoiled:
    """One test file."""

    text: bytes
    tests: frozenset[str]  #: names that must not pass, below the module: "test_a", "Class::test_b"


def spoil(source: bytes, rng: random.Random) -> Spoiled:
    """The file with one expectation of every test changed where one can be. Raises nothing: what does not parse stays.

    Tests of which no expectation surely runs stay as they are and are not among `tests`.
    """
    tree = parse_python(source)
    if tree is None:
        return Spoiled(source, frozenset())
    places = _Places(source)
    edits: list[Edit] = []
    names = set()
    for name, function in _tests(tree.body, ""):
        ways = list(_ways(function, rng, places))
        if ways:
            edits += rng.choice(ways)
            names.add(name)
    text = source
    for start, end, put in sorted(edits, reverse=True):
        text = text[:start] + put.encode() + text[end:]
    if parse_python(text) is None:
        return Spoiled(source, frozenset())
    return Spoiled(text, frozenset(names))


class _Places:
    """Where a node stands, in bytes."""

    def __init__(self, source: bytes) -> None:
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def edit(self, node: ast.expr, put: str) -> Edit:
        end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[end_line - 1] + end,
            put,
        )


def _tests(body: Sequence[ast.stmt], owner: str) -> Iterator[tuple[str, _Function]]:
    for node in body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            yield owner + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _tests(node.body, f"{owner}{node.name}::")


def _ways(function: _Function, rng: random.Random, places: _Places) -> Iterator[list[Edit]]:
    """Each way to spoil one test. None of a test that may end early or is a generator."""
    if any(isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
        return
    rows = _rows(function)
    for condition in _conditions(function.body):
        if isinstance(condition, _Raises):
            other = rng.choice([name for name in _OTHER_ERRORS if name != ast.unparse(condition.error)])
            yield [places.edit(condition.error, other)]
        else:
            yield from _untrue(condition, rows, rng, places)


@dataclass(frozen=True)
class _Raises:
    error: ast.expr


def _conditions(body: Sequence[ast.stmt]) -> Iterator[ast.expr | _Raises]:
    """What surely has to hold when the statements run to their end."""
    for node in body:
        match node:
            case ast.Assert(test=test):
                yield from _parts(test)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr), args=[left, right, *_])) if (
                attr == "assertEqual"
            ):
                # the same as `left == right`, where they stand
                yield ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])
            case ast.With(items=items):
                contexts = " ".join(ast.unparse(item.context_expr) for item in items)
                if "aises" in contexts:
                    errors = [error for item in items if (error := _expected_error(item.context_expr))]
                    yield from map(_Raises, errors[:1])
                elif not any(word in contexts for word in _SWALLOWING):
                    yield from _conditions(node.body)
            case ast.For(iter=over) if _not_empty(over) and not _leaves(node):
                yield from _conditions(node.body)
            case _:
                continue


def _parts(test: ast.expr) -> Iterator[ast.expr]:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _parts(value)
    else:
        yield test


def _expected_error(call: ast.expr) -> ast.expr | None:
    match call:
        case ast.Call(func=ast.Attribute(attr="raises" | "assertRaises"), args=[error, *_]):
            return error if isinstance(error, ast.Name | ast.Attribute) else None
    return None


def _not_empty(over: ast.expr) -> bool:
    """Whether a loop over it surely runs."""
    match over:
        case ast.List(elts=[ast.Constant(), *_]) | ast.Tuple(elts=[ast.Constant(), *_]):
            return True
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int(end))]):
            return end > 0
    return False


def _leaves(loop: ast.For) -> bool:
    return any(isinstance(node, ast.Continue | ast.Break) for node in ast.walk(loop))


def _untrue(
    condition: ast.expr, rows: Mapping[str, list[ast.expr]], rng: random.Random, places: _Places
) -> Iterator[list[Edit]]:
    """Each way to make a condition that holds one that does not."""
    match condition:
        case ast.Compare() if "ANY" in ast.unparse(condition):
            return  # equals everything by intent
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            found = False
            # whatever is compared with a tolerance has to move far
            far = "approx" in ast.unparse(condition)
            for leaf in [*_literals(right), *_literals(left)]:
                found = True
                yield [places.edit(leaf, _another(leaf, rng, far))]
            for side in (left, right):
                if isinstance(side, ast.Name) and side.id in rows:
                    found = True
                    yield [
                        places.edit(leaf, _another(leaf, rng, far))
                        for row in rows[side.id]
                        for leaf in list(_literals(row))[:1]
                    ]
            if not found:
                yield [places.edit(right, f"({ast.unparse(right)}, {rng.randrange(2, 100)})")]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPPOSITE:
            turned = ast.Compare(left=left, ops=[_OPPOSITE[type(op)]()], comparators=[right])
            yield [places.edit(condition, f"({ast.unparse(turned)})")]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield [places.edit(condition, f"({ast.unparse(operand)})")]
        case _:
            yield [places.edit(condition, f"(not ({ast.unparse(condition)}))")]


def _literals(node: ast.expr) -> Iterator[ast.expr]:
    """Literals in a display of literals, each of which alone makes the whole another value."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | bytes() | None):
            yield node
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            yield node
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            if not elements:
                yield node
            for element in elements:
                yield from _literals(element)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            if not values:
                yield node
            for value in values:
                yield from _literals(value)
        case ast.Call(func=ast.Name(id="approx") | ast.Attribute(attr="approx"), args=[expected, *_]):
            yield from _literals(expected)
        case _:
            return


def _another(node: ast.expr, rng: random.Random, far: bool) -> str:
    """Source of another value of the same kind."""
    match node:
        case ast.List():
            return "[0]"
        case ast.Tuple():
            return "(0,)"
        case ast.Dict():
            return "{0: 0}"
    value = ast.literal_eval(node)
    match value:
        case bool():
            return str(not value)
        case int() | float():
            near = isinstance(value, int) and not far
            step = rng.randint(1, 9) if near else rng.randint(2, 9) * (1 + abs(value))
            put = repr(
                value + step if abs(value) < 1e300 else -value
            )  # near the end of floats there is no more
            return f"({put})" if put.startswith("-") else put
        case str():
            return repr(_other_text(value, rng))
        case bytes():
            return repr(_other_text(value.decode("latin-1"), rng).encode("latin-1"))
    return "0"  # for None


def _other_text(text: str, rng: random.Random) -> str:
    """One digit or letter is another one; a text without any is longer."""
    at = [i for i, char in enumerate(text) if char.isascii() and char.isalnum()]
    if not at:
        return text + rng.choice("abcdefgh")
    place = rng.choice(at)
    char = text[place]
    kind = "0123456789" if char.isdigit() else "abcdefghijklmnopqrstuvwxyz"
    put = rng.choice([other for other in kind if other != char.lower()])
    return text[:place] + (put.upper() if char.isupper() else put) + text[place + 1 :]


def _rows(function: _Function) -> dict[str, list[ast.expr]]:
    """Parameters that are used once and have a literal in every row of their `parametrize`: name -> the values."""
    used = [node.id for node in ast.walk(function) if isinstance(node, ast.Name)]
    found: dict[str, list[ast.expr]] = {}
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(
                func=ast.Attribute(attr="parametrize"), args=[names, ast.List(elts=[_, *_] as rows), *_]
            ):
                for name, values in _columns(names, rows).items():
                    if used.count(name) == 1 and all(next(_literals(value), None) for value in values):
                        found[name] = values
    return found


def _columns(names: ast.expr, rows: Sequence[ast.expr]) -> dict[str, list[ast.expr]]:
    match names:
        case ast.Constant(value=str(text)):
            words = [word.strip() for word in text.split(",") if word.strip()]
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            words = [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]
        case _:
            return {}
    if len(words) == 1:
        return {words[0]: list(rows)}
    columns: dict[str, list[ast.expr]] = {word: [] for word in words}
    for row in rows:
        if not isinstance(row, ast.Tuple) or len(row.elts) != len(words):
            return {}
        for word, value in zip(words, row.elts, strict=True):
            columns[word].append(value)
    return columns
