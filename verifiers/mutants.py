"""Small wrong versions of a file that is right: what a good set of tests notices.

Python is changed through its syntax tree, so that every mutant is a program; C, shell and make line by line at
their operators, where some mutants do not build and are then noticed for that alone.
"""

from __future__ import annotations

import ast
import copy
import difflib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from .python_source import parse_python

MAX_BYTES = 256 * 1024  #: larger files are not mutated


@dataclass(frozen=True)
class Mutant:
    """One file with one change."""

    path: str  #: relative to the working directory
    line: int  #: 1-based
    what: str  #: for instance "< becomes <="
    before: str
    after: str

    @property
    def diff(self) -> str:
        """The change, as a unified diff without context."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), self.path, self.path, n=0, lineterm=""
        )
        return "\n".join(lines)


def mutants_of(path: str, text: str) -> list[Mutant]:
    """All mutants of one file; none of a file that is no program, does not parse, or is very large."""
    if len(text) > MAX_BYTES:
        return []
    name = PurePosixPath(path)
    if name.suffix == ".py":
        return list(_python(path, text))
    words = _WORDS.get(name.suffix) or (_WORDS["make"] if name.name in ("Makefile", "GNUmakefile") else None)
    return [] if words is None else list(_by_line(path, text, words, name.suffix))


def choose(mutants: Sequence[Mutant], n: int, seed: int) -> list[Mutant]:
    """At most `n` of them, the same for the same seed; no line twice while there are others."""
    shuffled = sorted(mutants, key=lambda m: (m.path, m.line, m.what, m.after))
    random.Random(seed).shuffle(shuffled)
    turns: dict[tuple[str, int], int] = {}
    keyed = []
    for mutant in shuffled:
        place = (mutant.path, mutant.line)
        turns[place] = turns.get(place, -1) + 1
        keyed.append((turns[place], mutant))
    return [mutant for _, mutant in sorted(keyed, key=lambda pair: pair[0])[:n]]


_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq},
    **{ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr},
    **{ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Pow: ast.Mult},
}


def _python(path: str, text: str) -> Iterator[Mutant]:
    tree = parse_python(text)
    if tree is None:
        return
    original = ast.dump(tree)
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    source = text.encode()
    for node in _places(tree):
        at, changes = (
            (node.test, _negated(node.test)) if isinstance(node, _Branch) else (node, _changes(node))
        )
        begin = starts[at.lineno - 1] + at.col_offset
        end = starts[(at.end_lineno or at.lineno) - 1] + (at.end_col_offset or 0)
        for what, put in changes:
            after = (source[:begin] + put.encode() + source[end:]).decode()
            changed = parse_python(after)  # None: a place where parentheses or `pass` cannot stand
            if changed is not None and ast.dump(changed) != original:
                yield Mutant(path, at.lineno, what, text, after)


def _places(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """What can be changed: no annotations, decorators, texts of errors, or pieces of formatted strings."""
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    if isinstance(node, ast.JoinedStr | ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """(what happens, the new source) for each way to change one node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARE:
            yield _with(node, "ops", [_COMPARE[type(op)]()])
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC and not _is_text(node):
            yield _with(node, "op", _ARITHMETIC[type(op)]())
        case ast.BoolOp(op=op):
            yield _with(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"{ast.unparse(node)} loses its sign", f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield f"{value} becomes {not value}", str(not value)
        case ast.Constant(value=int(value)):
            yield f"{value} becomes {value + 1}", str(value + 1)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield "nothing is returned", "return None"
        case ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield f"`{_short(node)}` is left out", "pass"
        case ast.Expr(value=ast.Call()):
            yield f"`{_short(node)}` is left out", "pass"
        case _:
            return


_Branch = ast.If | ast.While | ast.IfExp


def _negated(test: ast.expr) -> Iterator[tuple[str, str]]:
    """The opposite of a condition that no other change turns round."""
    turned_anyway = isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant)
    if not turned_anyway:
        yield f"`{_short(test)}` is negated", f"(not ({ast.unparse(test)}))"


def _with(node: ast.expr, field: str, value: object) -> tuple[str, str]:
    changed = copy.deepcopy(node)
    setattr(changed, field, value)
    return f"`{_short(node)}` becomes `{_short(changed)}`", f"({ast.unparse(changed)})"


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in (node.left, node.right))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


#: What is replaced by what, by file ending. The longest match at a place wins.
_C_WORDS = {
    **{"<=": "<", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "++": "--", "--": "++"},
    **{" < ": " <= ", " > ": " >= ", " + ": " - ", " - ": " + ", " % ": " / ", "+=": "-=", "-=": "+="},
    **{"continue;": "break;", "break;": ";", "true": "false", "false": "true"},
}
_SH_WORDS = {
    **{"==": "!=", "!=": "==", "&&": "||", "||": "&&", " -lt ": " -le ", " -le ": " -lt ", " -gt ": " -ge "},
    **{" -ge ": " -gt ", " -eq ": " -ne ", " -ne ": " -eq ", " -z ": " -n ", " -n ": " -z ", "++": "--"},
    **{" >= ": " > ", " <= ": " < ", " + ": " - ", " - ": " + ", "continue": "break"},
}
_WORDS = {".c": _C_WORDS, ".h": _C_WORDS, ".sh": _SH_WORDS, "make": {"-j": "-i", " | ": " "}}
_NUMBER = re.compile(r"(?<![\w.\\%$])\d+(?![\w.])")
_COMMENT = {".c": ("//", "/*", "*", "#include"), ".h": ("//", "/*", "*", "#"), ".sh": ("#",), "": ("#",)}


def _by_line(path: str, text: str, words: dict[str, str], suffix: str) -> Iterator[Mutant]:
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.strip().startswith(_COMMENT[suffix]):
            continue
        for start, end, put in _edits(line, words, strings=suffix in (".c", ".h")):
            changed = line[:start] + put + line[end:]
            after = "".join([*lines[: number - 1], changed, *lines[number:]])
            yield Mutant(path, number, f"`{line[start:end].strip()}` becomes `{put.strip()}`", text, after)
        if suffix in (".c", ".h") and re.match(r"\s+[\w\->\[\].]+(\s*[-+*]?=[^=]|\().*;\s*$", line):
            after = "".join([*lines[: number - 1], "\n", *lines[number:]])
            yield Mutant(path, number, f"`{line.strip()[:60]}` is left out", text, after)


def _edits(line: str, words: dict[str, str], *, strings: bool) -> Iterator[tuple[int, int, str]]:
    """(start, end, replacement) in one line; nothing inside C strings or before a comment's end."""
    hidden = [m.span() for m in re.finditer(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'|//.*|/\*.*?\*/', line)]
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
    found = [(m.start(), m.end(), words[m.group()]) for m in pattern.finditer(line)]
    found += [(m.start(), m.end(), str(int(m.group()) + 1)) for m in _NUMBER.finditer(line)]
    for start, end, put in found:
        if not (strings and any(a <= start < b for a, b in hidden)):
            yield start, end, put
