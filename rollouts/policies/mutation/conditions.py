"""Mutations of conditions: `and` and `or`, operands dropped, swapped and added, tests negated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .expressions import Operator, between, grouped, put
from .source import Mutation, Source


def condition(src: Source, node: ast.AST) -> Iterator[Mutation]:
    """`and` and `or`, an operand dropped, a condition negated."""
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from between(src, left, right, rf"\b{old}\b", new, "and_or")
        for skip in range(len(node.values)):
            rest = [src.code(v) for i, v in enumerate(node.values) if i != skip]
            yield put(src, node, grouped(src, node, f" {old} ".join(rest)), "condition_drop")
        values = node.values
        if len(values) == 2 and len(src.code(node)) < 120:
            code = f"{src.code(values[1])} {old} {src.code(values[0])}"
            yield put(src, node, grouped(src, node, code), "operands", -0.5)
    test = getattr(node, "test", None)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(test, ast.expr):
        code = src.code(test)
        if isinstance(test, ast.Name | ast.Call | ast.Attribute | ast.Subscript):
            yield put(src, test, grouped(src, test, f"not {code}"), "negate")
        elif isinstance(test, ast.BoolOp):
            yield put(src, test, grouped(src, test, f"not ({code})"), "negate", -0.5)
        yield from _also(src, node, test)
    if isinstance(node, ast.While) and isinstance(test, ast.Constant):
        for other, local, _ in list(src.names(node))[:12]:
            if local:
                yield put(src, test, other, "loop_test")
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Name | ast.Call):
        yield put(src, node.value, f"not {src.code(node.value)}", "negate", -1.5)
    if isinstance(node, ast.IfExp):
        yield put(
            src,
            node,
            f"{src.code(node.orelse)} if {src.code(node.test)} else {src.code(node.body)}",
            "operands",
        )


def _also(src: Source, node: ast.If | ast.While | ast.IfExp, test: ast.expr) -> Iterator[Mutation]:
    """A condition that forgets the empty or zero value of a parameter, or of a name it indexes."""
    code, scope = src.code(test), src.scopes[src.function(node)]
    if len(code) > 80:
        return
    leaves = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue)
    used = [
        n.value.id for n in ast.walk(node) if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)
    ]
    for other in list(dict.fromkeys([*scope.params, *used]))[:5]:
        if other in ("self", "cls"):
            continue
        if leaves:
            yield put(src, test, f"{_loose(test, code, ast.Or)} or not {other}", "condition_add")
        else:
            yield put(src, test, f"{other} and {_loose(test, code, ast.And)}", "condition_add")


def _loose(test: ast.expr, code: str, joined: type[ast.boolop]) -> str:
    """A condition in parentheses where `and` (or `or`) beside it would read it otherwise."""
    inner = isinstance(test, ast.BoolOp) and joined is ast.And and isinstance(test.op, ast.Or)
    return f"({code})" if inner or isinstance(test, ast.IfExp | ast.Lambda) else code


CONDITIONS: tuple[Operator, ...] = (condition,)
