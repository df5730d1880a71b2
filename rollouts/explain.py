"""What is wrong with a config, in one line that says where."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel], text: str, origin: str) -> str:
    """The first problem as one line: where in `text`, what, and the nearest name for an unknown key of `model`."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    line = _line_of(text, path)
    place = f"{origin}:{line}" if line else origin
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        message = f"{place}: unknown setting {name}; {mend}"
    else:
        given = first.get("input")
        shown = "" if isinstance(given, Mapping | list) else f" (found {given!r:.60})"
        message = f"{place}: {name}: {first['msg']}{shown}"
    more = error.error_count() - 1
    return message + (f" (and {more} more)" if more else "")


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue  # a place in a list, whose kind has been found
        sections = [kind for kind in _kinds(model.model_fields[part].annotation) if _is_section(kind)]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def _kinds(annotation: Any) -> list[Any]:
    """The annotation itself, or what it is made of: `A | None`, `list[A]`."""
    return [kind for each in get_args(annotation) for kind in _kinds(each)] or [annotation]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """1-based line of a key in YAML text, found through the parser's own marks."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    line: int | None = None
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == part:
                line, node = key.start_mark.line + 1, value
                break
        else:
            return line if line and part == path[-1] and len(path) == 1 else None
    return line
