"""The arithmetic in a text: equations of plain numbers, calculated again.

An expression is parsed with `ast` and walked: numbers, + - * /, signs and parentheses, nothing else; no names,
no calls, no powers, so its cost is bounded by its length, which is bounded too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from .answers import MOST_CHARS, NUMBER, value

_MOST_EQUATIONS = 200
_MOST_CANDIDATES = 2_000
_LONGEST = 80  # characters of a left side
_RIGHT = re.compile(rf"=[ \t]{{0,3}}({NUMBER})")
#: Dots and commas only inside numbers: elsewhere they end what stands before.
_LEFT = re.compile(r"(?:[-+*/()$\d \t]|\.(?=\d)|(?<=\d),(?=\d{3}))+\Z")
_LIST_MARK = re.compile(r"\A\s*\d{1,3}[.)]\s+")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "∗": "*"})
_LATEX = re.compile(r"\\(?:times|cdot|div)\b|\\[()\[\]]|(?<=\d)[ \t]{0,2}[xX][ \t]{0,2}(?=[\d$])")


@dataclass(frozen=True)
class Equation:
    """`left = claimed`, as written; `at` is where its result stands (characters from the start)."""

    left: str
    claimed: Fraction
    decimals: int
    at: int


def equations(text: str) -> list[Equation]:
    """Up to 200 equations of plain numbers with at least one operation, in the order of the text."""
    plain = _LATEX.sub(_spelled, text[-MOST_CHARS:].translate(_SIGNS))
    found: list[Equation] = []
    for match in islice(_RIGHT.finditer(plain), _MOST_CANDIDATES):
        left = _LEFT.search(plain[max(0, match.start() - _LONGEST) : match.start()])
        claimed = value(match.group(1))
        if left is None or claimed is None:
            continue
        expression = _LIST_MARK.sub("", left.group()).replace("$", "").replace(",", "").strip()
        if calculated(expression) is not None and re.search(r"\d\s*[-+*/]", expression):
            decimals = len(match.group(1).partition(".")[2])
            found.append(Equation(expression, claimed, decimals, match.start(1)))
            if len(found) == _MOST_EQUATIONS:
                break
    return found


def recalculated(chain: Sequence[Equation]) -> Fraction | None:
    """The result of the last equation when every step is calculated again; None where it divides by zero.

    A wrong result is carried on: where a later step uses the claimed value, it gets the true one. A result
    that is right to the decimals written stays as it was written.
    """
    mended: dict[Fraction, Fraction] = {}
    result: Fraction | None = None
    for step in chain:
        result = calculated(step.left, mended)
        if result is None:
            return None
        if abs(result - step.claimed) <= Fraction(1, 2 * 10**step.decimals):
            result = step.claimed
        else:
            mended[step.claimed] = result
    return result


def calculated(expression: str, instead: dict[Fraction, Fraction] | None = None) -> Fraction | None:
    """The exact value of an expression of numbers and + - * / ( ); None for anything else.

    `instead` replaces numbers by others. Leading zeros, division by zero and more than 80 characters are None.
    """
    if len(expression) > _LONGEST:
        return None
    try:
        tree = ast.parse(expression, mode="eval")
        return _value(tree.body, expression, instead or {})
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, source: str, instead: dict[Fraction, Fraction]) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()):
            # From its text, for 0.1 to be a tenth.
            exact = Fraction(ast.get_source_segment(source, node) or "")
            return instead.get(exact, exact)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source, instead)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source, instead)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _value(left, source, instead), _value(right, source, instead)
            if isinstance(op, ast.Add):
                return a + b
            if isinstance(op, ast.Sub):
                return a - b
            if isinstance(op, ast.Mult):
                return a * b
            if isinstance(op, ast.Div):
                return a / b
    raise ValueError("not plain arithmetic")


def _spelled(match: re.Match[str]) -> str:
    found = match.group()
    if "div" in found:
        return "/"
    return "*" if "times" in found or "cdot" in found or found.strip() in "xX" else " "
