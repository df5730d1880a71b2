"""Mutations of expressions: comparisons, arithmetic, constants, indices, names, attributes."""

from __future__ import annotations

import ast
import builtins
import difflib
import math
import re
from collections.abc import Callable, Iterator

from .source import Mutation, Source

Operator = Callable[[Source, ast.AST], Iterator[Mutation]]

_COMPARE: dict[type[ast.cmpop], tuple[str, str, list[tuple[str, str]]]] = {
    ast.Lt: ("<", r"<", [("<=", "strict"), (">", "flip"), (">=", "flip"), ("!=", "compare")]),
    ast.LtE: ("<=", r"<=", [("<", "strict"), (">=", "flip"), (">", "flip"), ("==", "compare")]),
    ast.Gt: (">", r">", [(">=", "strict"), ("<", "flip"), ("<=", "flip"), ("!=", "compare")]),
    ast.GtE: (">=", r">=", [(">", "strict"), ("<=", "flip"), ("<", "flip"), ("==", "compare")]),
    ast.Eq: ("==", r"==", [("!=", "flip"), (">=", "compare"), ("<=", "compare"), (">", "compare"),
                           ("<", "compare"), ("in", "compare")]),
    ast.NotEq: ("!=", r"!=", [("==", "flip"), ("<", "compare"), (">", "compare"), ("not in", "compare")]),
    ast.Is: ("is", r"\bis\b", [("==", "compare"), ("is not", "flip")]),
    ast.IsNot: ("is not", r"\bis\s+not\b", [("!=", "compare"), ("is", "flip")]),
    ast.In: ("in", r"\bin\b", [("not in", "flip"), ("==", "compare")]),
    ast.NotIn: ("not in", r"\bnot\s+in\b", [("in", "flip"), ("!=", "compare")]),
}  # fmt: skip

_BINARY: dict[type[ast.operator], tuple[str, list[str]]] = {
    ast.Add: ("+", ["-", "*"]),
    ast.Sub: ("-", ["+", "*", "//", "%"]),
    ast.Mult: ("*", ["+", "**", "/", "//", "-"]),
    ast.Div: ("/", ["//", "*", "%"]),
    ast.FloorDiv: ("//", ["/", "%", "*"]),
    ast.Mod: ("%", ["//", "/", "-"]),
    ast.Pow: ("**", ["*"]),
    ast.BitAnd: ("&", ["|", "^"]),
    ast.BitOr: ("|", ["&", "^", "-"]),
    ast.BitXor: ("^", ["&", "|"]),
    ast.LShift: ("<<", [">>"]),
    ast.RShift: (">>", ["<<"]),
}

_PRODUCTS = (ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)

_ATTRIBUTES: list[tuple[str, ...]] = [
    ("append", "extend", "insert"), ("lstrip", "rstrip", "strip"), ("find", "rfind"), ("index", "rindex"),
    ("split", "rsplit", "splitlines"), ("pop", "popleft"), ("append", "appendleft"), ("add", "update"),
    ("startswith", "endswith"), ("isalpha", "isalnum", "isdigit"), ("isupper", "islower"),
    ("upper", "lower", "title", "capitalize"), ("keys", "values", "items"), ("remove", "discard", "pop"),
    ("floor", "ceil", "trunc"), ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset"), ("ljust", "rjust", "center"), ("get", "setdefault"), ("sin", "cos"),
    ("heappush", "heappop"), ("bisect_left", "bisect_right"), ("match", "search", "fullmatch"),
    ("sub", "findall"), ("partition", "rpartition"), ("casefold", "lower"), ("sort", "reverse"),
    ("permutations", "combinations", "combinations_with_replacement", "product"), ("days", "seconds"),
    ("removeprefix", "removesuffix"), ("find", "index"), ("mean", "median"), ("log", "log2", "log10"),
]  # fmt: skip

_FUNCTIONS: list[tuple[str, ...]] = [
    ("min", "max"), ("any", "all"), ("sorted", "reversed", "list"), ("int", "round", "float"), ("sum", "len"),
    ("range", "enumerate"), ("list", "set", "tuple"), ("ord", "chr"), ("int", "str"), ("isinstance", "issubclass"),
    ("sum", "max"), ("bisect_left", "bisect_right"), ("floor", "ceil"), ("map", "filter"),
]  # fmt: skip

_BUILTINS = frozenset(dir(builtins))


def put(src: Source, node: ast.AST, new: str, op: str, prior: float = 0.0, **extra: object) -> Mutation:
    """Replace a whole node."""
    start, end = src.span(node)
    return Mutation(start, end, new, op, src.line_of(node), prior, **extra)  # type: ignore[arg-type]


def between(
    src: Source, left: ast.AST, right: ast.AST, pattern: str, new: str, op: str, prior: float = 0.0
) -> Iterator[Mutation]:
    """Replace an operator's token between two operands."""
    begin, end = src.span(left)[1], src.span(right)[0]
    found = re.compile(pattern).search(src.text, begin, end)
    if found and "#" not in src.text[begin : found.start()]:
        yield Mutation(found.start(), found.end(), new, op, src.line_of(left), prior)


def grouped(src: Source, node: ast.AST, text: str) -> str:
    """`text` in parentheses where the place of `node` needs them."""
    parent = src.parents.get(node)
    free = ast.Return | ast.Assign | ast.AugAssign | ast.Slice | ast.keyword | ast.If | ast.While | ast.List
    if isinstance(parent, free) or (isinstance(parent, ast.Call) and node is not parent.func):
        return text
    if isinstance(parent, ast.Subscript) and node is parent.slice:
        return text
    if isinstance(parent, ast.Tuple) and " if " not in text:
        return text
    if isinstance(parent, ast.Compare | ast.BoolOp) and not re.search(r"\b(and|or|not|if)\b|[<>=]", text):
        return text
    return f"({text})"


def compare(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Strictness, direction and kind of each comparison; its operands swapped; one moved by 1."""
    if not isinstance(node, ast.Compare):
        return
    operands = [node.left, *node.comparators]
    for left, kind, right in zip(operands, node.ops, operands[1:], strict=False):
        _, pattern, others = _COMPARE[type(kind)]
        for new, op in others:
            yield from between(src, left, right, pattern, new, op, 0.0 if op != "flip" else -0.3)
        if isinstance(kind, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq):
            yield from _both(src, left, kind, right)
            for side in (left, right):
                if not isinstance(side, ast.Constant):
                    yield from shifted(src, side, "shift", -0.5)


def _both(src: Source, left: ast.expr, kind: ast.cmpop, right: ast.expr) -> Iterator[Mutation]:
    """The comparison and its constant changed at once: `== 0` to `<= 1`."""
    if isinstance(right, ast.Constant) and type(right.value) is int and isinstance(kind, ast.Eq | ast.NotEq):
        up, down = ("<=", ">=") if isinstance(kind, ast.Eq) else (">", "<")
        (begin, _), (_, end) = src.span(left), src.span(right)
        for token, value in ((up, right.value + 1), (down, right.value - 1), (up, right.value + 2)):
            code = f"{src.code(left)} {token} {value}"
            yield Mutation(begin, end, code, "compare", src.line_of(left), 0.0)


def shifted(src: Source, node: ast.AST, op: str, prior: float = 0.0) -> Iterator[Mutation]:
    """The expression plus one and minus one; an offset of one that is there, dropped."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        right = node.right
        if isinstance(right, ast.Constant) and isinstance(right.value, int):
            yield put(src, node, src.code(node.left), op, prior + 0.5)
            return
    if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp):
        code = src.code(node)
        low = isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Sub | ast.Mult)
        code = f"({code})" if low else code
        yield put(src, node, grouped(src, node, f"{code} + 1"), op, prior)
        yield put(src, node, grouped(src, node, f"{code} - 1"), op, prior)


def arithmetic(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Another operator, the operands swapped, one operand alone."""
    if isinstance(node, ast.BinOp):
        token, others = _BINARY.get(type(node.op), ("@", []))
        text = isinstance(node.left, ast.Constant | ast.JoinedStr) and not isinstance(
            getattr(node.left, "value", 0), int | float
        )
        for rank, new in enumerate([] if text else others):
            pattern = re.escape(token) if len(token) == 2 else rf"(?<![*/<>]){re.escape(token)}(?![*/<>=])"
            yield from between(src, node.left, node.right, pattern, new, "arith", -0.4 * rank)
        left, right = src.code(node.left), src.code(node.right)
        if not isinstance(node.op, ast.Mult) and left != right:
            gap = src.text[src.span(node.left)[1] : src.span(node.right)[0]]
            loose = isinstance(node.left, ast.BinOp), isinstance(node.right, ast.BinOp)
            left, right = (f"({left})" if loose[0] else left), (f"({right})" if loose[1] else right)
            if "(" not in gap and ")" not in gap:
                yield put(src, node, f"{right}{gap}{left}", "operands")
        for side in (node.left, node.right):
            yield put(src, node, grouped(src, node, src.code(side)), "operand_drop", -0.3)
            if isinstance(side, ast.Name):
                yield put(src, side, f"{side.id} ** 2", "offset", -0.5)
            if isinstance(side, ast.Call) and getattr(side.func, "id", "") == "len":
                yield from shifted(src, side, "shift", -0.3)
        if isinstance(node.left, ast.Name):
            yield put(src, node.left, f"-{node.left.id}", "negate", -0.5)
        if (
            isinstance(node.op, ast.Add | ast.Sub)
            and isinstance(node.left, ast.BinOp)
            and isinstance(node.left.op, ast.Mult | ast.Div | ast.FloorDiv)
        ):
            a, b = src.span(node.left)[0], src.span(node.right)[1]
            cut = src.span(node.left.right)[0]
            if ")" not in src.text[src.span(node.left)[1] : b]:
                yield put(src, node, f"{src.text[a:cut]}({src.text[cut:b]})", "group")
        if isinstance(node.op, ast.Add | ast.Sub):
            yield from _regroup(src, node)
    elif isinstance(node, ast.AugAssign):
        token, others = _BINARY.get(type(node.op), ("@", []))
        for rank, new in enumerate([*others, ""]):
            prior = -0.4 * rank
            yield from between(
                src, node.target, node.value, re.escape(token + "="), new + "=", "augmented", prior
            )
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
            for new, prior in (("+=", 0.0), ("-=", -1.0)):
                yield from between(src, target, node.value, r"=", new, "augment", prior)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield put(src, node, src.code(node.operand), "negate")


def _regroup(src: Source, node: ast.BinOp) -> Iterator[Mutation]:
    """`a + b * c` written as `(a + b) * c`."""
    first = node.right
    while isinstance(first, ast.BinOp) and isinstance(first.op, _PRODUCTS):
        first = first.left
    between_them = src.text[src.span(node.left)[1] : src.span(first)[0]]
    if first is not node.right and not set("()") & set(between_them):
        begin, cut, end = src.span(node)[0], src.span(first)[1], src.span(node)[1]
        code = f"({src.text[begin:cut]}){src.text[cut:end]}"
        yield Mutation(begin, end, code, "group", src.line_of(node))


def constant(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Neighbouring numbers, 0, 1, the sign, other numbers of the file; other strings; True and False."""
    if not isinstance(node, ast.Constant) or isinstance(src.parents.get(node), ast.Expr | ast.JoinedStr):
        return
    value = node.value
    if isinstance(value, bool):
        yield put(src, node, str(not value), "bool")
    elif isinstance(value, int):
        others = {value + 1: 0.0, value - 1: 0.0, 0: -0.7, 1: -0.7, -value: -1.2, 2: -1.8, 10: -2.5}
        for other in src.constants:
            if isinstance(other, int):
                others.setdefault(other, -1.8)
        others.pop(value, None)
        for other, prior in list(others.items())[:14]:
            yield put(src, node, str(other) if other >= 0 else grouped(src, node, str(other)), "const", prior)
        if value == 0:
            yield put(src, node, "float('inf')", "const", -2.0)
            yield put(src, node, "float('-inf')", "const", -2.0)
            yield put(src, node, "None", "const", -2.5)
    elif isinstance(value, float):
        extras = [x for x in src.constants if isinstance(x, float)][:4]
        if math.isfinite(value):
            for new in (
                f"{value + 1}",
                f"{value - 1}",
                f"{value / 100}",
                f"{value * 100}",
                *map(repr, extras),
            ):
                if new != repr(value):
                    yield put(src, node, new, "const", -0.5)
    elif isinstance(value, str) and node.lineno == node.end_lineno and len(value) <= 40:
        yield from _string(src, node, value)
    elif value is None:
        for new, prior in (("0", 0.0), ("False", -0.5), ("True", -0.5), ("[]", 0.0), ("''", 0.0)):
            yield put(src, node, new, "none", prior)


def _string(src: Source, node: ast.Constant, value: str) -> Iterator[Mutation]:
    others = {value.lower(): 0.0, value.upper(): -0.3, value.strip(): 0.0, value.capitalize(): -0.5}
    others |= {"": -0.5, " ": -0.5} if len(value) <= 2 else {}
    others |= {value + " ": -1.0, value[:-1]: -1.0, value + "s": -2.0}
    for other in src.constants:
        if isinstance(other, str) and other != value:
            near = difflib.SequenceMatcher(None, value, other).ratio()
            others.setdefault(other, -2.0 + 2.0 * near)
    others.pop(value, None)
    raw = src.code(node)
    if raw.lower().startswith(("b", "r", "f")):
        return
    for other, prior in sorted(others.items(), key=lambda item: -item[1])[:10]:
        yield put(src, node, repr(other), "string", prior, target=value)


def offsets(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """A name with another local name added or taken away."""
    if isinstance(node, ast.Name):
        for other, local, _ in list(src.names(node))[:12]:
            if local and other != node.id and other not in src.scopes[src.function(node)].callables:
                for sign in "-+":
                    yield put(src, node, grouped(src, node, f"{node.id} {sign} {other}"), "offset")


def index(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Indices and slice bounds moved by one, bounds dropped or added, a key looked up with a default."""
    if not isinstance(node, ast.Subscript):
        return
    at = node.slice
    if isinstance(at, ast.Slice):
        low, high, step = (src.code(x) if x else "" for x in (at.lower, at.upper, at.step))
        tail = f":{step}" if step else ""
        for new in (f"{low}:{high}:-1", f":{high}{tail}", f"{low}:{tail}", f"{low}:{high}"):
            if new != src.code(at):
                yield put(src, at, new, "slice", -1.0 if new.endswith("-1") else -0.5)
        if low and high:
            yield put(src, at, f"{high}:{low}{tail}", "slice", -2.0)
        for bound, name in ((at.lower, "low"), (at.upper, "high")):
            if bound is None:
                new = f"1:{high}{tail}" if name == "low" else f"{low}:-1{tail}"
                yield put(src, at, new, "slice", -0.7)
            elif not isinstance(bound, ast.Constant):
                yield from shifted(src, bound, "slice")
                if isinstance(bound, ast.Name):
                    yield put(src, bound, f"-{bound.id}", "slice", -0.7)
    elif isinstance(at, ast.Constant | ast.UnaryOp) and not isinstance(getattr(at, "value", 0), str):
        for new, prior in (("0", -0.3), ("-1", 0.0), ("1", -0.3), ("-2", -1.0)):
            if new != src.code(at):
                yield put(src, at, new, "index", prior)
    elif isinstance(at, ast.Tuple):
        for part in at.elts:
            yield from shifted(src, part, "index")
    else:
        yield from shifted(src, at, "index")
        yield from offsets(src, at)
        if isinstance(at, ast.Name):
            yield put(src, at, f"-{at.id}", "index", -1.5)
    if isinstance(node.ctx, ast.Load) and not isinstance(at, ast.Slice):
        for default, prior in (("0", 0.0), ("None", -0.7), ("[]", -1.0), ("''", -1.2)):
            code = f"{src.code(node.value)}.get({src.code(at)}, {default})"
            yield put(src, node, code, "get", prior, target="key")
        if isinstance(at, ast.Name):
            yield put(src, node, at.id, "unwrap", -0.7)
    if isinstance(node.value, ast.Subscript) and not isinstance(node.value.slice, ast.Slice):
        code = f"{src.code(node.value.value)}[{src.code(at)}][{src.code(node.value.slice)}]"
        yield put(src, node, code, "operands")


def name(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Another name that is in scope; `self.` before one; a near-miss function or attribute."""
    if isinstance(node, ast.Name):
        yield from _names(src, node)
    elif isinstance(node, ast.Attribute):
        end = src.span(node)[1]
        start, line = end - len(node.attr), src.line_of(node)
        for family in _ATTRIBUTES:
            for other in family:
                if node.attr in family and other != node.attr:
                    yield Mutation(start, end, other, "method", line, 0.0, node.attr)
        known = src.attributes
        near = difflib.get_close_matches(node.attr, [a for a in known if a != node.attr], n=4, cutoff=0.0)
        for other in near:
            likeness = difflib.SequenceMatcher(None, node.attr, other).ratio()
            yield Mutation(start, end, other, "attribute", line, 2 * likeness - 1.5, node.attr)


def _names(src: Source, node: ast.Name) -> Iterator[Mutation]:
    parent = src.parents.get(node)
    called = isinstance(parent, ast.Call) and parent.func is node
    if called or node.id in _BUILTINS:
        for family in _FUNCTIONS:
            for other in family:
                if node.id in family and other != node.id:
                    yield put(src, node, other, "function", 0.0, target=node.id)
    scope = src.scopes[src.function(node)]
    store = not isinstance(node.ctx, ast.Load)
    for other, local, unused in list(src.names(node))[:40]:
        if other == node.id or (called != (other in scope.callables or other in src.scopes[None].callables)):
            continue
        likeness = difflib.SequenceMatcher(None, node.id, other).ratio()
        prior = 1.5 * likeness - 1.0 + (0.0 if local else -1.0) + (-1.5 if store else 0.0)
        yield put(src, node, other, "name", prior, target=node.id, unused=unused and not store)
    kind = src.parents.get(src.function(node) or node)
    if isinstance(kind, ast.ClassDef) and "self" in scope.bound and node.id in src.attributes:
        yield put(src, node, f"self.{node.id}", "self", 0.0, target=node.id)


EXPRESSIONS: tuple[Operator, ...] = (compare, arithmetic, constant, index, name)
