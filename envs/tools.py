"""Tools: typed async functions that an agent calls by name.

A tool's JSON schema comes from its signature and docstring, so the function is the only place to change.
What an agent does wrong (unknown tool, bad arguments, absent file) comes back as an observation; only a
failing sandbox (`KernelError`) is an exception.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from kernel_pool import FileAccessError, Kernel, KernelError, Limits
from kernel_pool.text import TextLimits

from .errors import ToolError
from .observation import observe
from .task import Task
from .trajectory import Observation, storable


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a policy sees it."""

    name: str
    description: str
    parameters: dict[str, Any]  #: JSON schema of the arguments object

    def openai(self) -> dict[str, Any]:
        """The tool in the shape of OpenAI's chat API."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass
class ToolContext:
    """What a tool works on. Belongs to one episode."""

    kernel: Kernel
    task: Task
    limits: Limits = field(default_factory=Limits)  #: bounds on each command
    text: TextLimits = field(default_factory=TextLimits)  #: bounds on each observation
    answer: str | None = None  #: what `submit` handed in


@dataclass(frozen=True)
class ToolOutput:
    """A tool's full result, before it is shortened."""

    text: bytes | str
    exit_code: int | None = None
    ended: str = ""  #: `kernel_pool.Ended` of the command it ran


#: A tool takes the context and its own typed arguments; a plain string is a `ToolOutput` of that text.
ToolFunction = Callable[..., Awaitable[ToolOutput | str | bytes]]


class Tool:
    """One function with its schema. `changes=False` promises that it leaves the sandbox's files alone.

    The docstring's text up to `Args:` is the description; lines `name: text` below describe the arguments.
    """

    def __init__(self, function: ToolFunction, *, changes: bool = True) -> None:
        self.function = function
        self.changes = changes
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self._arguments = _arguments_model(function, self.name)
        self.spec = ToolSpec(self.name, _described(function)[0], _schema(self._arguments))

    async def __call__(self, context: ToolContext, arguments: Mapping[str, Any]) -> Observation:
        """Check the arguments and run the function. Raises `KernelError` only."""
        try:
            given = self._arguments.model_validate(arguments)
        except ValidationError as error:
            return _wrong(_argument_errors(self, error), context)
        values = {name: getattr(given, name) for name in type(given).model_fields}
        if halves := [
            name for name, value in values.items() if isinstance(value, str) and storable(value) != value
        ]:
            return _wrong(
                f"wrong arguments for `{self.name}`:\n`{halves[0]}`: holds half a surrogate pair", context
            )
        try:
            output = await self.function(context, **values)
        except (ToolError, FileAccessError) as error:
            return _wrong(str(error), context)
        except KernelError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary to tools that users bring along
            return _wrong(f"the tool `{self.name}` broke: {type(error).__name__}: {error}", context)
        if isinstance(output, str | bytes):
            output = ToolOutput(output)
        return observe(output.text, context.text, exit_code=output.exit_code, ended=output.ended)


class ToolBox:
    """The tools of an episode, by name. Plain functions are wrapped; names must be unique."""

    def __init__(self, tools: Iterable[Tool | ToolFunction]) -> None:
        self._tools: dict[str, Tool] = {}
        for item in tools:
            tool = item if isinstance(item, Tool) else Tool(item)
            if tool.name in self._tools:
                raise ValueError(f"two tools are named {tool.name!r}")
            self._tools[tool.name] = tool
        self.specs: list[ToolSpec] = [tool.spec for tool in self._tools.values()]

    def may_change(self, name: str) -> bool:
        """Whether a call of this tool can leave the files different."""
        tool = self._tools.get(name)
        return tool is not None and tool.changes

    async def call(self, context: ToolContext, name: str, arguments: Mapping[str, Any] | None) -> Observation:
        """Call a tool. `arguments` is None when what the policy wrote was no JSON object.

        Raises `KernelError` when the sandbox fails; everything else is an observation.
        """
        tool = self._tools.get(name)
        if tool is None:
            return _wrong(self._unknown(name), context)
        if arguments is None:
            return _wrong(f"the arguments of `{name}` are not a JSON object", context)
        return await tool(context, arguments)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name[:100], self._tools, n=1, cutoff=0.5)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        return f"there is no tool named {name[:100]!r}{hint} The tools are: {', '.join(self._tools)}"


def default_tools(task: Task) -> ToolBox:
    """The tools every task has; `Task` is taken so that a task can bring others."""
    from . import builtin_tools as tools

    return ToolBox(
        [
            Tool(tools.bash),
            Tool(tools.read_file, changes=False),
            Tool(tools.write_file),
            Tool(tools.edit_file),
            Tool(tools.run_tests),
            Tool(tools.submit, changes=False),
        ]
    )


def _wrong(message: str, context: ToolContext) -> Observation:
    return observe(f"error: {message}", context.text, is_error=True)


def _arguments_model(function: ToolFunction, name: str) -> type[BaseModel]:
    """A model of the parameters after the context."""
    hints = get_type_hints(function, include_extras=True)
    descriptions = _described(function)[1]
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter.name} must be a named one")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        about = Field(default=default, description=descriptions.get(parameter.name))
        fields[parameter.name] = (hints[parameter.name], about)
    return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("title", None)
    schema.setdefault("properties", {})
    for about in schema["properties"].values():
        about.pop("title", None)
    return schema


def _described(function: ToolFunction) -> tuple[str, dict[str, str]]:
    """The description and the arguments' descriptions from a docstring."""
    text, _, below = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")
    arguments: dict[str, str] = {}
    current = ""
    for line in below.splitlines():
        name, colon, about = line.strip().partition(":")
        if colon and name.isidentifier():
            current, arguments[name] = name, about.strip()
        elif current and line.strip():
            arguments[current] += " " + line.strip()
    return " ".join(text.split()), arguments


def _argument_errors(tool: Tool, error: ValidationError) -> str:
    """One line per wrong field."""
    lines = []
    known = list(tool.spec.parameters["properties"])
    for issue in error.errors(include_url=False, include_context=False)[:10]:
        where = ".".join(str(part) for part in issue["loc"])[:100]
        if issue["type"] == "missing":
            lines.append(f"`{where}` is missing")
        elif issue["type"] == "extra_forbidden":
            lines.append(
                f"`{where}` is not an argument of `{tool.name}` (it takes: {', '.join(known) or 'none'})"
            )
        else:
            lines.append(f"`{where}`: {issue['msg']}")
    return f"wrong arguments for `{tool.name}`:\n" + "\n".join(lines)
