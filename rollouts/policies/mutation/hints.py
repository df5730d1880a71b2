"""What the failures themselves say about the kind of bug: exception types, messages, got against expected."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: (pattern over "Type: message", families it speaks for and how strongly, in units of the `hint` feature)
_RULES: list[tuple[str, dict[str, float]]] = [
    (r"^RecursionError", {"condition_add": 1.0, "guard": 1.2, "shift": 1.0, "arguments": 1.0, "operands": 0.7, "strict": 0.7,
                          "const": 0.5, "arith": 0.7, "name": 0.5}),
    (r"^(Hang|Timeout|Failed: Timeout)", {"step": 1.0, "augmented": 1.0, "strict": 0.8, "shift": 0.8, "name": 0.5,
                           "loop_test": 1.5, "dedent": 1.0, "indent": 1.0, "arith": 0.7, "jump": 0.7, "update": 0.7, "swap": 0.5, "flip": 0.5,
                           "condition_drop": 0.5, "negate": 0.5}),
    (r"^IndexError", {"condition_add": 1.0, "index": 1.0, "range": 1.2, "strict": 1.0, "slice": 0.5, "guard": 1.0, "shift": 0.8,
                      "const": 0.5, "operands": 0.8, "name": 0.4, "and_or": 0.4, "swap": 0.4,
                      "loop_test": 1.5, "offset": 0.5}),
    (r"^KeyError", {"get": 1.5, "string": 1.0, "flip": 0.8, "name": 0.5, "swap": 0.5, "augment": 0.5}),
    (r"^ZeroDivisionError", {"condition_add": 1.0, "guard": 1.5, "const": 0.5, "range": 0.5, "name": 0.3}),
    (r"NoneType", {"return": 1.3, "rebind": 1.5, "none": 1.0, "flip": 0.8, "negate": 0.6, "guard": 0.8}),
    (r"^TypeError.*(unsupported operand|can only concatenate|must be str|not supported between)",
     {"wrap": 1.2, "unwrap": 0.8, "function": 0.7, "none": 0.8}),
    (r"^TypeError.*(not iterable|not subscriptable|has no len|indices must be|unhashable|not callable)",
     {"wrap": 1.0, "unwrap": 1.0, "index": 0.7, "jump": 0.7, "attribute": 0.5, "arith": 0.7}),
    (r"^TypeError.*(argument|positional)", {"argument_drop": 1.2, "argument_add": 1.2, "self": 0.8}),
    (r"^NameError", {"name": 1.0, "self": 1.5, "function": 0.5}),
    (r"^UnboundLocalError", {"declare": 2.0, "name": 0.7, "dedent": 0.7, "swap": 0.7}),
    (r"^AttributeError", {"attribute": 1.2, "method": 1.2, "self": 0.5, "collection": 0.5}),
    (r"^ValueError.*(unpack|empty|zero)", {"condition_add": 1.0, "guard": 1.3, "argument_add": 1.0}),
    (r"^ValueError.*(invalid literal|could not convert)", {"method_add": 1.0, "wrap": 0.7, "guard": 0.7}),
    (r"^ValueError.*unpack", {"method_add": 1.2, "method": 1.0, "operands": 0.5}),
    (r"^ValueError.*not in list", {"flip": 0.8, "method": 1.0}),
    (r"^(RuntimeError|OSError).*changed size", {"wrap": 1.5, "copy": 1.5}),
    (r"DID NOT RAISE", {"strict": 1.0, "flip": 0.8, "and_or": 1.0, "negate": 0.8, "condition_drop": 0.8,
                        "const": 0.5}),
]  # fmt: skip

_NAMED = re.compile(r"name '(\w+)'|has no attribute '(\w+)'|variable '(\w+)'|^KeyError: '([^']+)'|'(\w+)'\?")


@dataclass(frozen=True)
class Hints:
    """`families`: strength per operator family, 0 to about 2. `names`: words the messages point at."""

    families: Mapping[str, float]
    names: frozenset[str]


def read(failures: Sequence[tuple[str, str]]) -> Hints:
    """Hints from (exception type, message) pairs; each is averaged over the failing tests."""
    total: defaultdict[str, float] = defaultdict(float)
    names: set[str] = set()
    for exc, message in failures:
        text = f"{exc}: {message}"[:400]
        found = _from_values(message) if exc in ("AssertionError", "Failed", "assert") else None
        for pattern, families in _RULES:
            if found is None and re.search(pattern, text):
                found = families
        for family, strength in (found or {}).items():
            total[family] += strength / len(failures)
        for match in _NAMED.finditer(text) if exc != "AssertionError" else ():
            names.update(group for group in match.groups() if group)
    return Hints(dict(total), frozenset(names))


def _from_values(message: str) -> dict[str, float] | None:
    for got, expected in _sides(message):
        found = _differ(got, expected)
        if found:
            return found
    return None


def _sides(message: str) -> list[tuple[Any, Any]]:
    """The values around `==` (pytest) or `!=` (unittest), where both are literals."""
    text = re.sub(r"^(assert |AssertionError: |\w+ differ: )+", "", message.strip())
    pairs = []
    for sign in (" == ", " != ", " is "):
        for match in list(re.finditer(sign, text))[:4]:
            sides = (
                _literal(text[: match.start()]),
                _literal(re.split(r" : |, ['\"]", text[match.end() :])[0]),
            )
            if _MISSING not in sides:
                pairs.append(sides)
    return pairs


_MISSING = object()


def _literal(text: str) -> Any:
    if len(text) > 300:
        return _MISSING
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return _MISSING


def _differ(got: Any, expected: Any) -> dict[str, float] | None:
    if got is None and expected is not None:
        return {"return": 1.5, "rebind": 1.2, "return_value": 0.5, "guard": 0.5, "strict": 0.3, "flip": 0.3}
    if isinstance(got, bool) or isinstance(expected, bool):
        return {"bool": 1.0, "negate": 0.7, "flip": 0.7, "strict": 0.7, "and_or": 0.9, "condition_drop": 0.5,
                "compare": 0.4, "method_add": 0.4, "range": 0.5, "shift": 0.3, "return_value": 0.3}  # fmt: skip
    if isinstance(got, int | float) and isinstance(expected, int | float):
        return _numbers(got, expected)
    if type(got) is not type(expected):
        return {"wrap": 1.2, "unwrap": 0.8, "collection": 0.8, "return_value": 0.5, "arith": 0.3}
    if isinstance(got, str):
        return _texts(got, expected)
    if isinstance(got, list | tuple | dict | set):
        return _collections(got, expected)
    return None


def _numbers(got: float, expected: float) -> dict[str, float]:
    if abs(got - expected) == 1:
        return {"const": 0.8, "strict": 0.9, "shift": 0.9, "range": 0.9, "slice": 0.5, "index": 0.5,
                "argument_add": 0.3, "dedent": 0.3, "swap": 0.3}  # fmt: skip
    if got == -expected:
        return {"negate": 1.0, "operands": 1.2, "wrap": 0.7, "arith": 0.8, "augmented": 0.8}
    if isinstance(got, float) != isinstance(expected, float):
        return {"arith": 1.0, "wrap": 0.8, "unwrap": 0.5, "function": 0.6, "const": 0.4}
    return {"arith": 0.7, "const": 0.5, "range": 0.6, "name": 0.5, "strict": 0.4, "augmented": 0.7,
            "augment": 0.6, "group": 0.8, "function": 0.4, "dedent": 0.4}  # fmt: skip


def _texts(got: str, expected: str) -> dict[str, float]:
    if sorted(got) == sorted(expected):
        return {"reverse": 1.2, "operands": 1.0, "slice": 0.7, "argument_add": 0.7, "swap": 0.5, "index": 0.5}
    if got.lower() == expected.lower():
        return {"method": 1.2, "method_add": 1.2, "string": 0.6, "unwrap": 0.7}
    if got.split() == expected.split() or got.strip() == expected.strip():
        return {"string": 1.0, "method_add": 1.0, "method": 0.9, "slice": 0.7, "argument_drop": 0.7}
    return {"slice": 0.7, "string": 0.8, "index": 0.5, "shift": 0.6, "range": 0.5, "strict": 0.4, "method": 0.5,
            "const": 0.4, "arith": 0.3}  # fmt: skip


def _collections(got: Any, expected: Any) -> dict[str, float]:
    if sorted(map(repr, got)) == sorted(map(repr, expected)):
        return {"reverse": 1.0, "argument_add": 1.0, "operands": 0.8, "flip": 0.8, "swap": 0.6, "method": 0.5,
                "index": 0.5, "arith": 0.4}  # fmt: skip
    if abs(len(got) - len(expected)) == 1:
        return {"strict": 0.8, "range": 0.9, "slice": 0.8, "shift": 0.6, "dedent": 0.6, "flush": 1.5, "const": 0.5, "jump": 0.4,
                "return": 0.3, "flip": 0.4}  # fmt: skip
    rows = [row for row in got if isinstance(row, list)] if isinstance(got, list) else []
    if len(rows) > 1 and all(row == rows[0] for row in rows):
        return {"copy": 1.5, "rows": 2.0, "name": 0.3}
    if not got or not expected:
        return {
            "flip": 0.8,
            "negate": 0.8,
            "strict": 0.5,
            "collection": 0.8,
            "and_or": 0.5,
            "return": 0.5,
            "flush": 1.0,
            "update": 0.5,
        }
    return {"mutable_default": 0.8, "method": 0.6, "copy": 0.5, "name": 0.4, "strict": 0.4, "index": 0.4,
            "arith": 0.3, "flip": 0.4, "dedent": 0.3, "slice": 0.4, "range": 0.3}  # fmt: skip
