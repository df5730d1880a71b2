"""An action of the gymnasium env as text: one tool call in JSON, and what is said about anything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from .errors import ToolError
from .tools import ToolSpec
from .trajectory import ToolCall

FORM = 'An action is one tool call in JSON and nothing else: {"tool": "run_tests", "arguments": {}}'

#: What may stand in a call besides its name and arguments, as chat APIs write it; it is not looked at.
_IGNORED = frozenset({"id", "type"})


def read_action(action: str, call_id: str, max_chars: int) -> ToolCall:
    """The call that an action stands for: `{"tool", "arguments"}`, or as OpenAI's API writes calls.

    Arguments may be an object, an object written as a string, or absent. A call whose arguments are no object has
    `arguments=None`; the tool says so. Raises `ToolError`, with what was wrong and how an action looks, for
    everything that is no tool call. An action of more than `max_chars` characters is not read at all.
    """
    if len(action) > max_chars:
        raise _wrong(f"it has {len(action)} characters, at most {max_chars} are read")
    try:
        data = json.loads(action, parse_constant=_no_number)
    except RecursionError:
        raise _wrong("it is nested too deeply") from None
    except ValueError as error:
        raise _wrong(f"it is no JSON ({str(error)[:100]})") from None
    if not isinstance(data, dict):
        raise _wrong(f"it is no JSON object but {_kind(data)}")
    if isinstance(data.get("function"), dict):
        _check_keys(data, {"function"})
        data = data["function"]
    name = data.get("tool", data.get("name"))
    if not isinstance(name, str) or not name:
        raise _wrong('it names no tool; "tool" holds the name')
    _check_keys(data, {"tool", "name", "arguments"})
    arguments, raw = _arguments(data.get("arguments"))
    return ToolCall(id=call_id, name=name[:200], arguments=arguments, raw=raw)


def instructions(tools: Sequence[ToolSpec]) -> str:
    """What an agent has to know to act: the form of an action and the tools."""
    lines = [FORM + ".", "", "The tools:", ""]
    for tool in tools:
        lines.append(f"- {tool.name}: {tool.description}")
        required = tool.parameters.get("required", ())
        for name, schema in tool.parameters.get("properties", {}).items():
            need = "" if name in required else ", optional"
            lines.append(f"  - {name} ({_type(schema)}{need}): {schema.get('description', '')}".rstrip(": "))
    return "\n".join(lines)


def _wrong(what: str) -> ToolError:
    return ToolError(f"error: the action was not carried out: {what}. {FORM}")


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _check_keys(data: dict[str, Any], known: set[str]) -> None:
    if others := [key for key in data if key not in known | _IGNORED]:
        raise _wrong(
            f"{others[0][:50]!r} is no part of a tool call; what the tool takes stands in its arguments"
        )


def _arguments(given: Any) -> tuple[dict[str, Any] | None, str]:
    """(the arguments, the text they were written as when it was one)."""
    if given is None:
        return {}, ""
    if isinstance(given, str):
        try:
            read = json.loads(given, parse_constant=_no_number) if given.strip() else {}
        except (ValueError, RecursionError):
            return None, given
        return (read if isinstance(read, dict) else None), given
    return (given, "") if isinstance(given, dict) else (None, json.dumps(given))


def _kind(data: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(data), "a number")


def _type(schema: dict[str, Any]) -> str:
    kinds = [one.get("type", "") for one in schema.get("anyOf", [schema])]
    return " or ".join(kind for kind in kinds if kind and kind != "null") or "any"
