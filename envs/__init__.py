"""What is to be solved, and what an episode is. Importing it makes the gymnasium ids known."""

from .episode import Episode
from .errors import (
    EnvError,
    EpisodeFailed,
    EpisodeOver,
    StateUnusable,
    TaskError,
    TaskInvalid,
    TaskProblem,
    ToolError,
)
from .load import load_tasks
from .observation import TextLimits, shorten
from .registration import register
from .task import Task, TaskSet
from .task_lint import lint
from .tools import Tool, ToolBox, ToolContext, ToolOutput, ToolSpec, default_tools
from .trajectory import Message, Observation, Step, ToolCall, Trajectory

__all__ = [
    "EnvError",
    "Episode",
    "EpisodeFailed",
    "EpisodeOver",
    "Message",
    "Observation",
    "StateUnusable",
    "Step",
    "Task",
    "TaskError",
    "TaskInvalid",
    "TaskProblem",
    "TaskSet",
    "TextLimits",
    "Tool",
    "ToolBox",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolOutput",
    "ToolSpec",
    "Trajectory",
    "default_tools",
    "lint",
    "load_tasks",
    "shorten",
]

register()
