"""Mutations of calls, loops' ranges, collections and returned values."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .expressions import Operator, grouped, offsets, put, shifted
from .source import Mutation, Source

_WRAPS = {
    "abs": -0.5, "int": -0.3, "str": -0.3, "len": -0.5, "list": -0.7, "sorted": -0.5, "set": -0.7, "float": -1.0,
    "sum": -1.2, "round": -1.0, "max": -2.0, "min": -2.0, "reversed": -1.0, "tuple": -1.5, "bool": -2.0,
}  # fmt: skip

#: Arguments that a call may lack: (name of the function or method, how many it has) -> what to add.
_EXTRA: dict[str, list[tuple[str, float]]] = {
    "sort": [("reverse=True", 0.5), ("key=len", -1.0)],
    "sorted": [("reverse=True", 0.5), ("key=len", -1.0), ("key=abs", -2.0), ("key=lambda x: x[1]", -0.7)],
    "pop": [("0", 0.5), ("-1", -1.0)],
    "get": [("0", 0.5), ("[]", -0.5), ("''", -0.5)],
    "round": [("2", 0.0), ("1", -1.0)],
    "enumerate": [("1", 0.5)],
    "sum": [("0", -1.0)],
    "max": [("default=0", 0.0), ("default=None", -1.0)],
    "min": [("default=0", 0.0), ("default=None", -1.0)],
    "split": [("1", -1.0)],
    "int": [("2", -1.5)],
    "log": [("2", -1.0)],
    "zip": [("strict=True", -2.0)],
    "rstrip": [("'\\n'", -1.5)],
}


def call(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """Arguments swapped, dropped, added; the call undone; its arguments moved by one."""
    if not isinstance(node, ast.Call):
        return
    args = node.args
    for left, right in pairwise(args):
        if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
            continue
        (a, b), (c, d) = src.span(left), src.span(right)
        if "(" not in src.text[b:c]:
            text = src.text[c:d] + src.text[b:c] + src.text[a:b]
            yield Mutation(a, d, text, "arguments", src.line_of(left))
    label = _label(node)
    code, end = src.code(node), src.span(node)[1]
    for extra, prior in _EXTRA.get(label, ()):
        if len(args) <= 1 and not node.keywords:
            comma = ", " if args else ""
            yield Mutation(end - 1, end - 1, comma + extra, "argument_add", src.line_of(node), prior)
    for keyword in node.keywords:
        rest = [src.code(a) for a in args]
        rest += [f"{k.arg}={src.code(k.value)}" for k in node.keywords if k is not keyword and k.arg]
        if keyword.arg and all(k.arg for k in node.keywords):
            yield put(src, node, f"{src.code(node.func)}({', '.join(rest)})", "argument_drop")
    if len(args) > 1 and not node.keywords:
        rest = [src.code(a) for a in args[:-1]]
        yield put(src, node, f"{src.code(node.func)}({', '.join(rest)})", "argument_drop", -1.0)
    if len(args) == 1 and not node.keywords and not isinstance(args[0], ast.Starred | ast.GeneratorExp):
        yield put(src, node, grouped(src, node, src.code(args[0])), "unwrap")
        if label in ("split", "strip", "rstrip", "lstrip") and isinstance(args[0], ast.Constant):
            yield put(src, node, f"{src.code(node.func)}()", "argument_drop")
    if isinstance(node.func, ast.Attribute) and not args and not node.keywords:
        yield put(src, node, src.code(node.func.value), "unwrap")
    if label not in ("range", "isinstance", "print"):
        for arg in args:
            yield from shifted(src, arg, "shift", -0.8)
            yield from offsets(src, arg)
    if label == "len" and len(args) == 1 and isinstance(args[0], ast.Name | ast.Attribute):
        yield put(src, args[0], f"{src.code(args[0])}[0]", "index", -0.5)
    if label == "range":
        yield from _range(src, node)
    if label in ("append", "add", "insert", "appendleft") and args and isinstance(args[-1], ast.Name):
        for copy in (f"list({args[-1].id})", f"{args[-1].id}.copy()"):
            yield put(src, args[-1], copy, "copy", 0.0)
    if len(code) < 120 and isinstance(src.parents.get(node), ast.Return | ast.Assign):
        yield put(src, node, f"{code}[::-1]", "reverse")


def _label(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _range(src: Source, node: ast.Call) -> Iterator[Mutation]:
    args = [src.code(a) for a in node.args]
    line = src.line_of(node)
    (start, end), open_at = src.span(node), src.span(node.func)[1]
    if len(args) == 1:
        stop = args[0]
        for new, prior in (
            (f"1, {stop}", 0.2),
            (f"1, {stop} + 1", 0.3),
            (f"2, {stop}", -1.0),
            (f"{stop} - 1, -1, -1", -0.5),
            (f"0, {stop}, 2", -1.5),
        ):
            yield Mutation(open_at, end, f"({new})", "range", line, prior)
    elif len(args) == 2:
        low, stop = args
        yield Mutation(open_at, end, f"({stop})", "range", line, 0.0)
        if low == "1":
            yield Mutation(open_at, end, f"(2, {stop})", "range", line, -0.5)
        yield Mutation(open_at, end, f"({low}, {stop}, 2)", "range", line, -1.5)
        yield Mutation(open_at, end, f"({low}, {stop}, -1)", "range", line, -0.7)
    elif len(args) == 3:
        yield Mutation(open_at, end, f"({args[0]}, {args[1]})", "range", line, -0.7)
    for arg in node.args[:2]:
        yield from shifted(src, arg, "range", 0.2)
    for arg in node.args[:2]:
        if isinstance(arg, ast.UnaryOp) or (isinstance(arg, ast.Constant) and arg.value == 0):
            new = "0" if isinstance(arg, ast.UnaryOp) else "-1"
            yield put(src, arg, new, "range", 0.0)
    yield Mutation(start, end, f"reversed({src.text[start:end]})", "reverse", line, -0.5)


def value(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """What is returned, assigned or gone through: wrapped, negated, emptied, moved by one."""
    if isinstance(node, ast.Return) and node.value is not None:
        yield from shifted(src, node.value, "shift", 0.0)
        for new, prior in (("None", 0.0), ("[]", -0.5), ("0", -0.3), ("True", -0.7), ("False", -0.5)):
            if not isinstance(node.value, ast.Constant) and new != src.code(node.value):
                yield put(src, node.value, new, "return_value", prior)
        yield from _more(src, node)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
            for other, local, _ in list(src.names(node))[:12]:
                if local:
                    yield put(src, node.value, f"{other} == 0", "return_value", 0.0)
                    yield put(src, node.value, f"not {other}", "return_value", 0.0)
    if isinstance(node, ast.Assign | ast.AugAssign):
        yield from shifted(src, node.value, "shift", -0.3)
        yield from _clamped(src, node)
    if isinstance(node, ast.List) and not node.elts and isinstance(node.ctx, ast.Load):
        yield put(src, node, "[[]]", "collection")
        yield put(src, node, "{}", "collection", -0.5)
        yield put(src, node, "set()", "collection", -0.5)
    if isinstance(node, ast.Dict) and not node.keys:
        yield put(src, node, "[]", "collection", -0.5)
        yield put(src, node, "set()", "collection", -0.5)
    if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        (a, b), (c, d) = src.span(node.elts[0]), src.span(node.elts[1])
        gap = src.text[b:c]
        if "(" not in gap:
            yield Mutation(a, d, src.text[c:d] + gap + src.text[a:b], "operands", src.line_of(node))
    if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Name):
        yield from _part(src, node.iter)
    if isinstance(node, ast.expr):
        yield from _wrapped(src, node)
    yield from _shared_rows(src, node)


def _more(src: Source, node: ast.Return) -> Iterator[Mutation]:
    """A returned collection that lacks a part: an argument in an empty list, a local list in front."""
    assert node.value is not None
    scope = src.scopes[src.function(node)]
    if isinstance(node.value, ast.List) and not node.value.elts:
        for param in [p for p in scope.params if p not in ("self", "cls")][:3]:
            yield put(src, node.value, f"[{param}]", "collection", -0.3)
    if isinstance(node.value, ast.ListComp) or (isinstance(node.value, ast.List) and node.value.elts):
        read = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        for other in [n for n in scope.bound if n in read and n not in scope.callables][:4]:
            yield put(src, node.value, f"{other} + {src.code(node.value)}", "collection", -0.3)


def _part(src: Source, gone_through: ast.Name) -> Iterator[Mutation]:
    """A loop over a part only."""
    code = gone_through.id
    yield put(src, gone_through, f"{code}[1:]", "slice", -0.5)
    yield put(src, gone_through, f"{code}[:-1]", "slice", -0.5)
    for other in [p for p in src.scopes[src.function(gone_through)].params if p not in (code, "self")][:3]:
        yield put(src, gone_through, f"{code}[{other}:]", "slice", -1.0)
        yield put(src, gone_through, f"{code}[:{other}]", "slice", -1.0)


def _clamped(src: Source, node: ast.Assign | ast.AugAssign) -> Iterator[Mutation]:
    """A bound on an assigned value; `d[k] = v` as a count that starts at zero."""
    code = src.code(node.value)
    if isinstance(node.value, ast.BinOp | ast.Name | ast.Call) and len(code) < 80:
        yield put(src, node.value, f"max(0, {code})", "clamp")
        yield put(src, node.value, f"max(1, {code})", "clamp", -1.0)
        target = src.code(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and target.isidentifier():
            yield put(src, node.value, f"max({target}, {code})", "clamp", 0.3)
            yield put(src, node.value, f"min({target}, {code})", "clamp", -0.3)
    target_node = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target_node, ast.Subscript) and not isinstance(target_node.slice, ast.Slice):
        owner, key = src.code(target_node.value), src.code(target_node.slice)
        new = f"{owner}[{key}] = {owner}.get({key}, 0) + {code}"
        yield put(src, node, new, "augment", 0.5, target="key")


def _wrapped(src: Source, node: ast.expr) -> Iterator[Mutation]:
    """A value inside a conversion. Only where a value is used as a whole, so that the list stays short."""
    parent = src.parents.get(node)
    whole = (
        (
            isinstance(parent, ast.Return | ast.For | ast.Assign | ast.AugAssign)
            and node is not _target(parent)
        )
        or (isinstance(parent, ast.Call) and node in parent.args)
        or isinstance(parent, ast.BinOp | ast.Compare | ast.keyword | ast.comprehension)
    )
    if not whole or not isinstance(node, ast.Name | ast.Subscript | ast.Call | ast.Attribute | ast.BinOp):
        return
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    code = src.code(node)
    if len(code) > 120:
        return
    wide = isinstance(parent, ast.Return | ast.Assign | ast.For)
    for function, prior in _WRAPS.items():
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function:
            continue
        yield put(src, node, f"{function}({code})", "wrap", prior + (0.0 if wide else -1.0))
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(
        parent, ast.Assign | ast.Return
    ):
        yield put(src, node, f"{code}[:]", "copy")
        yield put(src, node, f"{code}.copy()", "copy", -0.3)
        yield put(src, node, f"{code}[::-1]", "reverse")
    if isinstance(node, ast.Name | ast.Subscript | ast.Call):
        for method, prior in (
            ("lower", 0.3),
            ("strip", 0.0),
            ("upper", -1.0),
            ("items", -0.5),
            ("split", -1.0),
        ):
            if isinstance(parent, ast.For) == (method == "items"):
                yield put(src, node, f"{code}.{method}()", "method_add", prior)


def _target(parent: ast.AST | None) -> ast.AST | None:
    return getattr(parent, "target", None)


def _shared_rows(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """`[[0] * n] * m` makes m times the same row; a comprehension makes m rows."""
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and isinstance(node.left, ast.List)
        and len(node.left.elts) == 1
        and isinstance(node.left.elts[0], ast.List | ast.BinOp | ast.Dict | ast.ListComp | ast.Call)
    ):
        row = src.code(node.left.elts[0])
        yield put(src, node, f"[{row} for _ in range({src.code(node.right)})]", "rows", 1.0)


CALLS: tuple[Operator, ...] = (call, value)
