"""Replies written down in advance: the format of the scripted policy's lists and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from envs.trajectory import Message, ToolCall

from ..errors import ConfigError
from .place import OptionError
from .policy import Finish


class CallSpec(BaseModel):
    """A tool call in a script. `arguments` left out and `raw` given: arguments that are no JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, Any] | None = None
    raw: str = ""

    def call(self, identifier: str) -> ToolCall:
        """The call as a policy makes it."""
        arguments = self.arguments if self.arguments is not None or self.raw else {}
        return ToolCall(id=identifier, name=self.name, arguments=arguments, raw=self.raw)


class ReplySpec(BaseModel):
    """One reply in a script.

    In files a plain string is a reply of text, and `{tool: NAME, arguments: {...}}` one with a single call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    calls: tuple[CallSpec, ...] = ()
    finish: Finish | None = None  #: None: "tool_calls" with calls, else "stop"
    error: str | None = None  #: raise `PolicyError` of this kind instead
    delay_s: float = Field(default=0.0, ge=0)
    log_prob: float | None = Field(default=None, le=0)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"text": data}
        if isinstance(data, dict) and "tool" in data:
            call = {"name": data["tool"]} | {k: data[k] for k in ("arguments", "raw") if k in data}
            rest = {k: v for k, v in data.items() if k not in ("tool", "arguments", "raw")}
            return {**rest, "calls": [call]}
        return data

    def message(self, position: int) -> Message:
        """The reply as the assistant's message number `position` (0-based)."""
        calls = tuple(c.call(f"call_{position}_{i}") for i, c in enumerate(self.calls))
        return Message(role="assistant", content=self.text, tool_calls=calls)

    def finished(self) -> Finish:
        """Why the reply ended."""
        return self.finish or ("tool_calls" if self.calls else "stop")


Replies = tuple[ReplySpec, ...]
_REPLIES: TypeAdapter[Replies] = TypeAdapter(Replies)


def as_replies(items: Sequence[Any]) -> Replies:
    """Replies from strings, mappings and `ReplySpec`s. Raises pydantic's `ValidationError`."""
    return _REPLIES.validate_python(tuple(items))


def read_script(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON script file; a bare list counts as `replies`.

    Raises `ConfigError` with the file, and the line where YAML tells it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("file", f"{path} cannot be read ({error})") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if isinstance(data, list):
        return {"replies": data}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a list of replies or a mapping, found {type(data).__name__}")
    return data


def explain(path: Path, error: ValidationError) -> ConfigError:
    """A script's first problem as one line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return ConfigError(f"{path}: {place}: {first['msg']}")
