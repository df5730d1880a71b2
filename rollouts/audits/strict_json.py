"""JSON in which a key that an object has twice is an error: which of the two is meant cannot be told."""

from __future__ import annotations

import json
from typing import Any


class DuplicateKey(ValueError):
    """An object has a key twice."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `DuplicateKey`, another `ValueError`, or `RecursionError`."""
    return json.loads(text, object_pairs_hook=_object)


def reason(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text, and how to mend it, in a few words."""
    if isinstance(error, DuplicateKey):
        return str(error)
    if isinstance(error, RecursionError):
        return "nested too deeply; flatten it"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8; convert it"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DuplicateKey(f"the key {twice[:40]!r} is there twice in one object; keep one of them")
    return found
