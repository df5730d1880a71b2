"""Mutations of statements: deleted, moved, returned, guarded, turned into their siblings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .expressions import Operator, put
from .source import Function, Mutation, Source

_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Break, ast.Continue, ast.Raise, ast.Delete)
_PURE = frozenset(("strip", "lower", "upper", "replace", "lstrip", "rstrip", "title", "union", "copy", "sub"))


def jump(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """`break` and `continue`, `return` and `yield`, `if` and `while`, `elif` and `if`."""
    if isinstance(node, ast.Break | ast.Continue):
        yield put(src, node, "continue" if isinstance(node, ast.Break) else "break", "jump")
        yield put(src, node, "pass", "jump", -0.5)
    elif isinstance(node, ast.Pass) and src.within(node, _LOOPS):
        yield put(src, node, "break", "jump", -1.0)
        yield put(src, node, "continue", "jump", -1.0)
    elif isinstance(node, ast.Return) and src.within(node, _LOOPS):
        yield put(src, node, "continue", "jump", -1.0)
        yield put(src, node, "break", "jump", -1.0)
    elif isinstance(node, ast.Yield) and node.value is not None:
        code = src.code(node.value)
        yield put(src, node, f"yield from {code}", "jump")
    elif isinstance(node, ast.YieldFrom):
        yield put(src, node, f"yield {src.code(node.value)}", "jump")
    elif isinstance(node, ast.If | ast.While):
        start = src.span(node)[0]
        line = node.lineno
        if src.text.startswith("elif", start):
            yield Mutation(start, start + 4, "if", "elif", line)
        elif isinstance(node, ast.If):
            if src.within(node, ()) is None and src.function(node):
                yield Mutation(start, start + 2, "while", "jump", line, -1.0)
            before = _before(src, node)
            if isinstance(before, ast.If) and not before.orelse:
                yield Mutation(start, start + 2, "elif", "elif", line)
        elif not node.orelse:
            yield Mutation(start, start + 5, "if", "jump", line, -0.5)


def _block(src: Source, node: ast.stmt) -> list[ast.stmt]:
    """The list of statements a statement stands in."""
    parent = src.parents.get(node)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and node in block:
            return block
    return [node]


def _before(src: Source, node: ast.stmt) -> ast.stmt | None:
    block = _block(src, node)
    at = block.index(node)
    return block[at - 1] if at else None


def _lines(src: Source, node: ast.stmt) -> tuple[int, int]:
    """Offsets of a statement's whole lines, line end included."""
    return src.starts[node.lineno - 1], src.starts[node.end_lineno or node.lineno]


def removal(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """A statement left out; a condition taken away from its body; an else branch dropped."""
    if isinstance(node, _SIMPLE) and src.alone(node) and src.function(node):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        block = _block(src, node)
        start, end = _lines(src, node)
        new = "" if len(block) > 1 else f"{src.indent(node)}pass\n"
        yield Mutation(start, end, new, "delete", node.lineno)
    if isinstance(node, ast.If) and not node.orelse and src.alone(node) and len(_block(src, node)) > 1:
        start, end = _lines(src, node)
        yield Mutation(start, end, "", "delete", node.lineno, -0.5)


def order(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """A statement swapped with the one before it; moved out of its block or into the block before it."""
    if not isinstance(node, ast.stmt) or not src.alone(node) or isinstance(node, Function | ast.ClassDef):
        return
    before = _before(src, node)
    start, end = _lines(src, node)
    text = src.text[start:end]
    if not text.endswith("\n"):
        text += "\n"
    if before is not None and src.alone(before) and not isinstance(before, Function | ast.ClassDef):
        first = src.starts[before.lineno - 1]
        middle = src.text[first:start]
        still = isinstance(before, ast.Expr) and isinstance(before.value, ast.Constant)
        if not still and not isinstance(before, ast.Return | ast.Raise | ast.Import | ast.ImportFrom):
            prior = 0.0 if isinstance(node, _SIMPLE) and isinstance(before, _SIMPLE) else -1.0
            yield Mutation(first, end, text + middle, "swap", node.lineno, prior)
        body = getattr(before, "body", None)
        if isinstance(node, _SIMPLE) and isinstance(before, (*_LOOPS, ast.If)) and body:
            last = (before.orelse or body)[-1]
            inner = src.indent(last)
            if src.alone(last) and not isinstance(last, ast.Return | ast.Raise | ast.Break | ast.Continue):
                new = inner + text.lstrip(" \t")
                yield Mutation(start, end, new, "indent", node.lineno)
    parent = src.parents.get(node)
    outer = isinstance(parent, (*_LOOPS, ast.If, ast.With)) and isinstance(parent, ast.stmt)
    block = _block(src, node)
    if isinstance(node, _SIMPLE) and outer and block[-1] is node and len(block) > 1:
        assert isinstance(parent, ast.stmt)
        if block is getattr(parent, "orelse", None) or not getattr(parent, "orelse", None):
            new = src.indent(parent) + text.lstrip(" \t")
            yield Mutation(start, end, new, "dedent", node.lineno)
            grand = src.parents.get(parent)
            if isinstance(grand, (*_LOOPS, ast.If)) and isinstance(grand, ast.stmt):
                yield Mutation(
                    start, end, src.indent(grand) + text.lstrip(" \t"), "dedent", node.lineno, -1.0
                )


def result(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """A value that is thrown away: returned, or bound to the name it comes from; a missing return."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and src.function(node):
        code = src.code(node)
        func = node.value.func
        yield put(src, node, f"return {code}", "return", 0.0)
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name | ast.Attribute):
            prior = 1.5 if func.attr in _PURE else -1.5
            yield put(src, node, f"{src.code(func.value)} = {code}", "rebind", prior)
        elif isinstance(func, ast.Name) and node.value.args and isinstance(node.value.args[0], ast.Name):
            prior = 1.0 if func.id in ("sorted", "reversed", "set", "list") else -1.0
            yield put(src, node, f"{node.value.args[0].id} = {code}", "rebind", prior)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.targets) == 1:
        func = node.value.func
        if isinstance(func, ast.Attribute) and func.attr in ("sort", "append", "reverse", "extend", "add"):
            yield put(src, node, src.code(node.value), "rebind", 1.0)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
        func = node.value.func
        if isinstance(func, ast.Attribute) and func.attr in ("sort", "append", "reverse", "extend", "add"):
            indent, owner = src.indent(node), src.code(func.value)
            yield put(src, node, f"{src.code(node.value)}\n{indent}return {owner}", "return", 1.0)
    if isinstance(node, Function) and node.body and not isinstance(node.body[-1], ast.Return | ast.Raise):
        yield from _missing_return(src, node)


def _leaves(node: ast.stmt) -> bool:
    """Whether a statement always leaves the function."""
    if isinstance(node, ast.If):
        return bool(node.orelse) and _leaves(node.body[-1]) and _leaves(node.orelse[-1])
    return isinstance(node, ast.Return | ast.Raise)


def _missing_return(src: Source, node: Function) -> Iterator[Mutation]:
    last = node.body[-1]
    if node.name == "__init__" or not src.alone(last) or _leaves(last):
        return
    at, indent = src.starts[last.end_lineno or last.lineno], src.indent(last)
    gap = "" if src.text[:at].endswith("\n") else "\n"
    names = [n for n in src.scopes[node].bound if n not in src.scopes[node].callables and n != "self"]
    values = [(name, 0.3 if name not in src.scopes[node].params else -0.3) for name in names[-8:]]
    for value, prior in [*values, ("False", 0.0), ("True", 0.0), ("None", -1.0), ("0", -0.3), ("-1", -0.5)]:
        yield Mutation(at, at, f"{gap}{indent}return {value}\n", "return", last.lineno, prior, target="None")


def guard(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """An early return for an empty or zero argument; a declaration or a loop step that is missing."""
    if isinstance(node, Function) and node.body and src.alone(node.body[0]):
        first = node.body[1] if _docstring(node) and len(node.body) > 1 else node.body[0]
        if src.alone(first):
            yield from _guards(src, node, first)
    if (
        isinstance(node, ast.While)
        and src.alone(node)
        and not isinstance(node.body[-1], ast.Return | ast.Break)
    ):
        last = node.body[-1]
        at, indent = src.starts[last.end_lineno or last.lineno], src.indent(last)
        gap = "" if src.text[:at].endswith("\n") else "\n"
        for used in sorted({n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)})[:4]:
            for step in ("+= 1", "-= 1"):
                yield Mutation(at, at, f"{gap}{indent}{used} {step}\n", "step", node.lineno)


def _docstring(node: Function) -> bool:
    return isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def _guards(src: Source, node: Function, first: ast.stmt) -> Iterator[Mutation]:
    at, indent, line = src.starts[first.lineno - 1], src.indent(first), first.lineno
    unit = "\t" if "\t" in indent else "    "
    params = [p for p in src.scopes[node].params if p not in ("self", "cls")][:3]
    for place, param in enumerate(params):
        values = (("None", 0.0), ("[]", 0.0), ("0", 0.0), ("False", 0.0), ("True", -0.5), ("''", -0.3))
        for value, prior in (*values, (param, -0.3), ("1", -1.0)):
            code = f"{indent}if not {param}:\n{indent}{unit}return {value}\n"
            yield Mutation(at, at, code, "guard", line, prior - 0.7 * place)
    if re.search(rf"\b{re.escape(node.name)}\(", src.text[at : src.span(node)[1]]):
        for param in params[:2]:
            for bound in ("0", "1"):
                for value in ("0", "1", param):
                    code = f"{indent}if {param} <= {bound}:\n{indent}{unit}return {value}\n"
                    yield Mutation(at, at, code, "guard", line, -0.7)
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    outer, word = src.function(node), "nonlocal" if src.function(node) else "global"
    for shared in sorted(stored & set(src.scopes[outer].bound))[:4]:
        code = f"{indent}{word} {shared}\n"
        yield Mutation(at, at, code, "declare", line, 0.0, target=shared)
    yield from _mutable_defaults(src, node, first)


def _mutable_defaults(src: Source, node: Function, first: ast.stmt) -> Iterator[Mutation]:
    """`def f(x=[])` shares one list between calls: make it None and a new list inside."""
    spec = node.args
    plain = [*spec.posonlyargs, *spec.args]
    pairs = list(zip(plain[len(plain) - len(spec.defaults) :], spec.defaults, strict=True))
    pairs += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None]
    indent, at = src.indent(first), src.starts[first.lineno - 1]
    unit = "\t" if "\t" in indent else "    "
    for arg, default in pairs:
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            begin, end = src.span(default)
            body = f"{indent}if {arg.arg} is None:\n{indent}{unit}{arg.arg} = {src.code(default)}\n"
            new = f"None{src.text[end:at]}{body}"
            yield Mutation(begin, at, new, "mutable_default", first.lineno, 1.0)


def missing(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """A last step after a loop that is done only inside it; a variable that a loop forgets to update."""
    if isinstance(node, ast.Return) and src.alone(node):
        before = _before(src, node)
        if isinstance(before, _LOOPS):
            yield from _flushes(src, node, before)
    if isinstance(node, ast.While | ast.For) and src.function(node):
        yield from _updates(src, node)
    if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and src.function(node):
        yield from _never_filled(src, node, node.target.id)


def _flushes(src: Source, node: ast.Return, loop: ast.stmt) -> Iterator[Mutation]:
    at, indent = src.starts[node.lineno - 1], src.indent(node)
    locals_ = [name for name, local, _ in src.names(node) if local]
    for call in ast.walk(loop):
        if not isinstance(call, ast.Call) or len(call.args) != 1:
            continue
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in ("append", "add", "extend"):
            given = src.code(call.args[0])
            for value in dict.fromkeys([given, *locals_]):
                if value != src.code(func.value):
                    code = f"{indent}{src.code(func)}({value})\n"
                    prior = 1.0 if value == given else -0.5
                    yield Mutation(at, at, code, "flush", node.lineno, prior)


def _updates(src: Source, loop: ast.While | ast.For) -> Iterator[Mutation]:
    """`name = other` put before a statement of the loop, for names that are bound before it, used in it or
    after it, and never changed in it."""
    inside = {n.id for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    read = {n.id for n in ast.walk(loop) if isinstance(n, ast.Name)}
    function = src.function(loop)
    scope = src.scopes[function]
    stale = [n for n in scope.bound if n not in inside and n not in scope.params and n not in scope.callables]
    for target in stale[:3]:
        for value in sorted(inside | {n for n in read if n in scope.bound} - {target}):
            for place in loop.body:
                if src.alone(place):
                    at = src.starts[place.lineno - 1]
                    code = f"{src.indent(place)}{target} = {value}\n"
                    yield Mutation(at, at, code, "update", place.lineno)


def _never_filled(src: Source, loop: ast.For, value: str) -> Iterator[Mutation]:
    """`items.append(x)` at the end of a block of the loop, for a list that is read but never filled."""
    function = src.function(loop)
    calls = [n.func for n in ast.walk(function or src.tree) if isinstance(n, ast.Call)]
    filled = {
        f.value.id
        for f in calls
        if isinstance(f, ast.Attribute)
        and f.attr in ("append", "extend", "add", "insert")
        and isinstance(f.value, ast.Name)
    }
    empty = [
        n.targets[0].id
        for n in ast.walk(function or src.tree)
        if isinstance(n, ast.Assign)
        and isinstance(n.targets[0], ast.Name)
        and isinstance(n.value, ast.List)
        and not n.value.elts
    ]
    for items in [name for name in dict.fromkeys(empty) if name not in filled][:3]:
        for block in _blocks(loop):
            last = block[-1]
            if src.alone(last) and not isinstance(last, ast.Return | ast.Break | ast.Continue | ast.Raise):
                at = src.starts[last.end_lineno or last.lineno]
                gap = "" if src.text[:at].endswith("\n") else "\n"
                code = f"{gap}{src.indent(last)}{items}.append({value})\n"
                yield Mutation(at, at, code, "update", last.lineno, 1.5)


def _blocks(loop: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The loop's body and the blocks of conditions in it."""
    for node in [loop, *(n for n in ast.walk(loop) if isinstance(n, ast.If))]:
        for block in (getattr(node, "body", []), getattr(node, "orelse", [])):
            if block:
                yield block


STATEMENTS: tuple[Operator, ...] = (jump, removal, order, result, guard, missing)
