"""What a compliance run leaves behind: every attempt whole, so that the record is the training data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from envs.trajectory import MISSING, Ending, Message, Text, TokenRecord, Usage
from verifiers import CheckResult
from verifiers.constraints import Constraint

from ..records import Sampling, TaskLayer

COMPLIANCE_VERSION: Literal["rollout-fork/compliance/v1"] = "rollout-fork/compliance/v1"

Mode = Literal["direct", "prompt_retry", "full_pcl"]
MODES: tuple[Mode, ...] = ("direct", "prompt_retry", "full_pcl")
#: How an attempt came about. "patch" edits text without a model; the others are replies of the policy.
Way = Literal["first", "retry", "patch", "rewrite_span", "regenerate"]


class Attempt(BaseModel):
    """One text, how it came about, and what every constraint says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int  #: 0-based within the record
    parent: int | None  #: the attempt it was made from; None for the first
    strategy: Way
    targets: tuple[str, ...] = ()  #: the violated constraints it was to mend
    messages: tuple[Message, ...] = ()  #: what the policy was shown; empty for a patch
    reply: Message | None = None  #: what it said; None for a patch
    artifact: Text = ""  #: the whole text that was checked; untrusted
    results: tuple[CheckResult, ...] = ()  #: one for each constraint, in their order
    passed: bool = False  #: no hard constraint is violated or undecided, and the text is not empty
    undecided: bool = False  #: a hard one could not be told, and none is known to be violated
    score: float = 0.0  #: weighted share that passes, in [0, 1]
    kept: bool = False  #: whether it became the text that later attempts start from
    why: str = ""  #: why it was kept or rolled back
    checker_edit: bool = (
        False  #: made by a string edit that pleases the checker, here or in an attempt before
    )
    sampling: Sampling = Sampling()
    effective: dict[str, Any] = Field(default_factory=dict)  #: the sampling that was really used
    finish: str = ""  #: why the policy stopped: stop, length, refusal, ...
    usage: Usage = Usage()
    log_prob: float | None = None
    tokens: TokenRecord | None = None
    seconds: float = 0.0
    error: str = ""  #: "kind: message" of an endpoint that failed, or "seconds" where the time ran out


class ComplianceRecord(BaseModel):
    """One task, one mode, one seed. One line of `compliance.jsonl`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal["rollout-fork/compliance/v1"] = COMPLIANCE_VERSION
    task: TaskLayer  #: its instruction is the prompt
    mode: Mode
    seed: int | None
    policy: str
    model: str
    constraints: list[Constraint]
    constraints_digest: str  #: sha256; the order of keys and constraints does not matter
    settings: dict[str, Any] = Field(default_factory=dict)  #: rounds, budgets, which edits were allowed
    attempts: list[Attempt] = Field(default_factory=list)
    final: int | None = None  #: index of the attempt that stands at the end; None: there was none
    #: everything that does not pass at the end, hard first; a violation that nothing mended stays here
    violations: list[CheckResult] = Field(default_factory=list)
    final_pass: bool | None = None  #: no hard violation and a text, in every mode; None: missing, neither
    ending: Ending
    stop: str = ""  #: why it went no further: passed, rounds, exhausted, tokens, seconds, context, error
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float = 0.0
    started_at: float = 0.0  #: Unix time

    @property
    def missing(self) -> bool:
        """The machinery ended it: neither pass nor fail."""
        return self.ending in MISSING

    @property
    def key(self) -> tuple[str, str, str, str, int | None]:
        """Task, its digest, constraints, mode, seed: written once per batch."""
        return (self.task.task_id, self.task.digest, self.constraints_digest, self.mode, self.seed)

    @property
    def checker_edit(self) -> bool:
        """Whether the text at the end owes anything to an edit that pleases the checker."""
        return self.final is not None and self.attempts[self.final].checker_edit
