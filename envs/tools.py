"""The tools an agent works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a policy sees it."""

    name: str
    description: str
    parameters: dict[str, Any]  #: JSON schema of the arguments object
