"""The errors of the environment layer.

    EnvError
    ├── TaskError        tasks cannot be read: a missing path, nothing there, an unknown id
    │   └── TaskInvalid  one task is broken; carries every problem with file and line
    ├── ToolError        raised by a tool to tell the agent what was wrong; becomes an observation
    ├── EpisodeOver      a step, fork or reset that the episode's state does not allow
    ├── EpisodeFailed    the machinery failed in a gymnasium env: there is no reward, and none is made up
    └── StateUnusable    a saved state that this env cannot go on from: foreign, or its snapshot is gone

What an agent does wrong is never an exception: it is an observation. The sandbox's errors are in
`kernel_pool.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class EnvError(Exception):
    """Base of everything raised on purpose here."""


class TaskError(EnvError):
    """Tasks cannot be read."""


@dataclass(frozen=True)
class TaskProblem:
    """What is wrong with a task, and where."""

    path: Path
    line: int | None  #: 1-based; None when it is not about a line
    message: str

    def __str__(self) -> str:
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


class TaskInvalid(TaskError):
    """One task is broken."""

    def __init__(self, problems: Sequence[TaskProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[TaskInvalid], tuple[tuple[TaskProblem, ...]]]:
        return type(self), (self.problems,)


class ToolError(EnvError):
    """A tool could not do what was asked; the message goes to the agent."""


class EpisodeOver(EnvError):
    """The episode has ended, or has not begun."""


class EpisodeFailed(EnvError):
    """The sandbox or the verifier failed under an episode; `__cause__` says how. Reset the env to go on."""


class StateUnusable(EnvError):
    """A saved state that this env cannot go on from."""
