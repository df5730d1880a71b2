"""The record on disk: everything known about one branch, in layers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from envs.trajectory import MISSING, Ending, Trajectory
from verifiers.verdict import Verdict

#: Plans that choose the point of a fork without looking at what the branch did from there on.
FAIR = frozenset({"step", "recovery"})

SCHEMA_VERSION: Literal["rollout-fork/v1"] = "rollout-fork/v1"


class Lineage(BaseModel):
    """Where a branch comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    rollout_id: str  #: one task, one group of branches that are ranked together
    branch_id: str
    index: int  #: 0-based within the rollout
    parent: str | None = None  #: branch it was forked from; None: from the task's prepared state
    fork_step: int = 0  #: how many steps it shares with its parent
    fork_state: str = ""  #: digest of the state it was forked from
    #: what chose the point: a plan's "step", "recovery" or "uncertain"; "" by hand, and where there was no fork
    fork_by: str = ""
    attempt: int = 0  #: 0 for the first try; counts retries after machinery failures


class TaskLayer(BaseModel):
    """What was asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str
    digest: str
    instruction: str
    language: str = ""
    difficulty: str = ""
    group: str = ""


class EnvironmentLayer(BaseModel):
    """What is needed to run it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    restores: str
    isolated: bool
    network: str = "none"  #: of the commands: "none" or "host"
    enforces: dict[str, str] = Field(default_factory=dict)  #: limit -> the mechanism that held it
    base: str  #: digest of the prepared state
    image: str = ""
    workdir: str = "/app"
    notes: list[str] = Field(default_factory=list)
    task_path: str | None = None


class Sampling(BaseModel):
    """What makes this branch different from its siblings. None: left to the model's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    effort: str | None = None
    prompt_variant: str | None = None  #: name of the variant
    prompt_text: str | None = None  #: its text, added to the system prompt (from the config, so trusted)
    max_tokens: int | None = None


class SamplingLayer(BaseModel):
    """Requested and effective sampling: they may differ, and the difference is data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: str
    model: str = ""
    requested: Sampling
    effective: dict[str, Any] = Field(default_factory=dict)
    memories: list[str] = Field(default_factory=list)  #: ids of the memory entries shown


class Result(BaseModel):
    """How it ended and what it is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ending: Ending
    reward: float | None  #: verifier score in [0, 1]; None for missing endings
    verdict: Verdict | None = None
    error: str = ""  #: for policy_error and infra_error: what failed
    final_state: str | None = None
    diff: str = ""  #: unified diff of the work, shortened; untrusted text
    steps: int = 0
    turns: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float = 0.0
    started_at: float = 0.0  #: Unix time


class BranchRecord(BaseModel):
    """One branch. One line of `branches/*.jsonl`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal["rollout-fork/v1"] = SCHEMA_VERSION
    lineage: Lineage
    task: TaskLayer
    environment: EnvironmentLayer
    sampling: SamplingLayer
    trajectory: Trajectory
    result: Result
    labels: dict[str, Any] = Field(default_factory=dict)
    governance: dict[str, Any] = Field(default_factory=dict)

    @property
    def missing(self) -> bool:
        """The machinery ended it: no reward, no side of any pair."""
        return self.result.ending in MISSING

    @property
    def key(self) -> tuple[str, str]:
        """(rollout_id, branch_id): written once per run."""
        return (self.lineage.rollout_id, self.lineage.branch_id)


Preferred = Literal["first", "second", "tie", "invalid"]


class JudgedTier(BaseModel):
    """What a judge said of the branches of one tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: int
    branches: list[str]
    blind: bool  #: whether nothing that a verifier said stood in what it was shown
    calls_round_robin: int  #: what asking about every pair in both orders would have taken
    rounds: int = 0
    #: [first, second, outcome, cause]: the outcome is "first", "second", "tie" or "invalid"; the cause says why it is
    #: invalid, or "swayed" (only the order decided) or "equal" (nobody was asked, the works are the same)
    comparisons: list[tuple[str, str, Preferred, str]] = Field(default_factory=list)
    stop: str = ""  #: why no more was asked


class JudgeSaid(BaseModel):
    """What a judge was asked about one rollout, what it cost, and whether its word counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge: str  #: policy, model, sampling
    may_decide: bool
    why: str
    blind: bool
    schedule: str
    repeat_correlation: float = 1.0  #: how repeated answers about one pair were counted: 1 is one vote
    calls: int
    calls_round_robin: int
    cached: int
    tokens: int
    cost_usd: float
    seconds: float
    tiers: list[JudgedTier]


class Confirmation(BaseModel):
    """The chosen branch, verified again after the choice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch_id: str
    heldout: bool = False  #: by checks that had no part in the ranking; else the same ones, run again
    runs: int = 0
    passes: int = 0
    failed: int = 0  #: the rest could not tell
    raw: float | None = None  #: its pass rate in the runs that chose it: too high on average
    corrected: float | None = None
    low: float | None = None  #: 95 %, of the corrected rate
    high: float | None = None
    #: of the corrected rate; only "heldout" is evidence: "repeats" of the same checks say how steady they are, no more
    basis: Literal["heldout", "repeats", "model", "none"] = "none"
    chosen_from: int = 0  #: branches with an outcome
    reason: str = ""  #: what was said where it did not pass, or why it could not be verified; untrusted text

    @classmethod
    def not_possible(cls, branch_id: str, reason: str) -> Confirmation:
        """Its state is not there any more."""
        last = next((line for line in reversed(reason.splitlines()) if line.strip()), "")
        return cls(branch_id=branch_id, reason=last.strip()[:300])


class RankingRecord(BaseModel):
    """The ranking of one rollout. One line of `rankings.jsonl`; a later line for the same rollout wins."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal["rollout-fork/v1"] = SCHEMA_VERSION
    run_id: str
    rollout_id: str
    task_id: str
    winner: str | None  #: branch_id
    winner_reason: str
    order: list[dict[str, Any]]  #: branch_id, rank, tier, theta, se, component, best first
    missing: list[str]
    power: dict[str, Any]  #: the fields of `ranking.Power`
    comparisons: int
    invalid: int
    converged: bool
    components: int
    judge: JudgeSaid | None = None  #: None: no judge is configured
    confirmation: Confirmation | None = None  #: None: nobody was chosen, or the config asks for none
    #: of branches that earlier rankings of this rollout chose: who failed once does not come back by another draw
    earlier_confirmations: list[Confirmation] = Field(default_factory=list)
    stopping: dict[str, Any] | None = (
        None  #: the fields of `ranking.Decision`; None: no rule, all branches were run
    )
