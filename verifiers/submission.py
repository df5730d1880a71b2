"""What a verifier is given: a finished piece of work, and nothing about who made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel_pool import Snapshot


@dataclass(frozen=True)
class TestPlan:
    """The checks a task brings along. They live outside everything the agent could touch."""

    __test__ = False  # not a pytest class

    directory: Path  #: host directory that is laid read-only over `target`
    target: str = "/tests"
    command: str = "bash /tests/test.sh"
    #: "pytest": per-test results decide; "reward": /logs/verifier/reward.{txt,json} decides; "exit": exit code
    result: str = "reward"
    timeout_s: float = 600.0
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/app"


@dataclass(frozen=True)
class Submission:
    """A finished piece of work: what was asked, the state it ended in, and what was said on the way."""

    instruction: str
    snapshot: Snapshot
    tests: TestPlan | None = None
    messages: tuple[Mapping[str, Any], ...] = ()  #: OpenAI shape; untrusted
    answer: str = ""  #: the text handed in with `submit`; untrusted
    diff: str = ""  #: unified diff of the work, shortened; untrusted
    base: Snapshot | None = None  #: the state the work started from
    extras: Mapping[str, Any] = field(
        default_factory=dict
    )  #: task settings for single verifiers (visual, ...)
