"""The run config: what a YAML file may say, its defaults, and clear words for what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kernel_pool import Limits
from kernel_pool.kernel import Network, Restores
from kernel_pool.requirements import Requirements

from .errors import ConfigError
from .explain import explain

Temperature = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PolicyConfig(_Section):
    """Who decides the actions."""

    name: str = "mutation"  #: a registered policy
    options: dict[str, Any] = Field(default_factory=dict)  #: passed to it


class SamplingConfig(_Section):
    """How the branches of one rollout differ. Lists are gone through in turn, branch by branch."""

    temperatures: list[Temperature] = Field(default_factory=list)  #: empty: the model's default
    top_p: float | None = Field(default=None, gt=0, le=1)
    efforts: list[str] = Field(default_factory=list)
    prompt_variants: dict[str, str] = Field(default_factory=dict)  #: name -> text added to the system prompt
    max_tokens: int | None = Field(default=None, gt=0)  #: per reply


class LimitsConfig(_Section):
    """Bounds on each command inside a kernel (see `kernel_pool.Limits`)."""

    wall_s: float = Field(default=60.0, gt=0)
    cpu_s: float | None = Field(default=None, gt=0)
    memory_mb: int = Field(default=1024, ge=64)
    processes: int = Field(default=256, ge=8)
    disk_mb: int = Field(default=4096, ge=1)
    output_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    file_mb: int = Field(default=256, ge=1)
    open_files: int = Field(default=1024, ge=32)

    def limits(self) -> Limits:
        """The same as the kernel layer's type."""
        return Limits(**self.model_dump())


_OWN_KEYS = {"allow_unsandboxed", "network", "limits", "max_concurrent", "restores"}


class BackendConfig(_Section):
    """Where branches run. What is asked for here and not given is refused before anything starts."""

    name: str = "local"
    max_concurrent: int | None = Field(default=None, ge=1)  #: kernels at once on a node; None: 2 per core
    network: Network = "none"  #: of the commands; "host" is everything that this machine reaches
    restores: Restores = "files"  #: what a fork has to restore, at least
    allow_unsandboxed: bool = False  #: must be true for back-ends without isolation
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    options: dict[str, Any] = Field(default_factory=dict)  #: passed to the back-end

    @field_validator("options")
    @classmethod
    def _not_by_the_back_door(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(_OWN_KEYS & options.keys()):
            raise ValueError(f"{name} is no option of a back-end: set backend.{name}")
        return options

    def requirements(self) -> Requirements:
        """What the back-end has to give: a sandbox, unless none is allowed, and whatever is set here by hand."""
        sandboxed = not self.allow_unsandboxed
        return Requirements(
            isolated=sandboxed,
            network=self.network if sandboxed or "network" in self.model_fields_set else None,
            restores=self.restores,
            limits=sorted(self.limits.model_fields_set),
        )


class BudgetConfig(_Section):
    """What one branch may spend. Over any of them: the branch ends as `truncated`."""

    steps: int = Field(default=120, ge=1)  #: tool calls
    seconds: float = Field(default=300.0, gt=0)  #: wall time of the agent, without verification
    tokens: int | None = Field(default=None, ge=1)  #: input and output together, as the policy reports them
    cost_usd: float | None = Field(default=None, gt=0)


class ObservationConfig(_Section):
    """How tool output is shortened, once, for the model and the records alike."""

    max_bytes: int = Field(default=8000, ge=200)
    max_lines: int = Field(default=160, ge=10)


class VerifierConfig(_Section):
    """One part of the verification."""

    name: str  #: a registered verifier
    weight: float = Field(default=1.0, ge=0)  #: its share of the reward
    gate: bool = True  #: whether a branch is solved only when this passes
    stage: int = 0  #: later stages run only when every gate of the earlier ones has passed
    repeats: int | None = Field(default=None, ge=1)  #: None: `verify.repeats`
    timeout_s: float | None = Field(default=None, gt=0)  #: seconds for each run
    options: dict[str, Any] = Field(default_factory=dict)  #: passed to the verifier


class ConfirmConfig(_Section):
    """How the winner of a rollout is verified again. One that fails is no winner, and nobody takes its place."""

    runs: int = Field(default=1, ge=1)
    #: held-out verifiers, which have no part in the ranking; empty: those of the ranking, run again
    parts: list[VerifierConfig] = Field(default_factory=list)


class VerifyConfig(_Section):
    """How finished work is checked."""

    repeats: int = Field(default=1, ge=1)  #: runs of each verifier; all must pass
    #: the parts; empty: the hidden tests, and what a task declares (visual checks, constraints)
    parts: list[VerifierConfig] = Field(default_factory=list)
    confirm: ConfirmConfig | None = Field(
        default_factory=ConfirmConfig
    )  #: null: winners are not verified again


class StopConfig(_Section):
    """When a rollout has enough branches. Looked at after every outcome; the rule stands in the ranking record."""

    passes: int | None = Field(default=4, ge=1)  #: contrast: so many solved and ...
    fails: int | None = Field(default=4, ge=1)  #: ... so many failed are enough; null: without this rule
    low: float | None = Field(default=0.1, gt=0, lt=1)  #: futility: a pass rate shown to be below it, or ...
    high: float | None = Field(
        default=0.9, gt=0, lt=1
    )  #: ... above it, teaches nothing; null: without this rule
    alpha: float = Field(default=0.05, gt=0, lt=1)  #: of each side of the futility rule

    @model_validator(mode="after")
    def _whole_rules(self) -> StopConfig:
        for rule, pair in (("contrast", ("passes", "fails")), ("futility", ("low", "high"))):
            if (getattr(self, pair[0]) is None) != (getattr(self, pair[1]) is None):
                raise ValueError(f"the rule {rule} needs both {pair[0]} and {pair[1]}, or null for both")
        if self.passes is None and self.low is None:
            raise ValueError("no rule is left; leave the section out to run all branches")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class ForkConfig(_Section):
    """Forks of finished branches, once the first `branches` of a task are done. How a branch ended never decides
    whether it is forked."""

    #: after `step` steps; after the first test run that failed though something had been changed; before the replies
    #: that the policy thought least probable (needs log-probabilities)
    at: Literal["step", "recovery", "uncertain"]
    step: int | None = Field(default=None, ge=1)
    points: int | None = Field(default=None, ge=1)  #: for `uncertain`: fork points in a branch; None: 1
    branches: int = Field(default=2, ge=1)  #: new branches at each fork point
    parents: int | None = Field(default=None, ge=1)  #: how many branches of a round are forked; None: all
    rounds: int = Field(default=1, ge=1, le=16)  #: each forks what the one before brought
    max_branches: int | None = Field(default=None, ge=1, le=4096)  #: of a task, the first ones included
    max_steps: int | None = Field(
        default=None, ge=1
    )  #: of a task, in tool calls, the first branches included

    @model_validator(mode="after")
    def _fits(self) -> ForkConfig:
        if (self.step is not None) != (self.at == "step"):
            raise ValueError("`step` says where `at: step` forks: give both or neither")
        if self.at == "step" and self.rounds > 1:
            raise ValueError("`at: step` forks every branch once; `rounds` is for the other kinds")
        if self.points is not None and self.at != "uncertain":
            raise ValueError(f"`points` is for `at: uncertain`; `at: {self.at}` has one in each branch")
        return self


class JudgeBudgetConfig(_Section):
    """What the judge may take over a whole run, pairs and scores together. None: no bound."""

    calls: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    cost_usd: float | None = Field(default=None, ge=0)


class JudgeConfig(_Section):
    """A model that says which of two branches of one tier is better."""

    policy: PolicyConfig  #: the model
    #: criterion -> its meaning; empty: the built-in one
    rubric: dict[Annotated[str, Field(pattern=r"^\w[\w -]*$")], Annotated[str, Field(min_length=3)]] = Field(
        default_factory=dict
    )
    schedule: Literal["halving", "swiss", "round_robin", "top_two"] = (
        "halving"  #: for the winner; for the whole order; all
    )
    tiers: Literal["passing", "all"] = "passing"  #: where it is asked
    calls_per_tier: int | None = Field(default=None, ge=2)  #: None: what the schedule needs
    samples: int = Field(default=1, ge=1)  #: of one question; together they are one vote
    #: how much answers about one pair in different rounds repeat one another: 1, one vote for all of them; 0, one each,
    #: for a judge without a bias about single pairs, which then may be asked about a pair more often
    repeat_correlation: float = Field(default=1.0, ge=0, le=1)
    temperature: float | None = Field(default=None, ge=0)
    effort: str | None = None
    max_tokens: int | None = Field(default=None, gt=0)
    max_concurrent: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    budget: JudgeBudgetConfig = Field(default_factory=JudgeBudgetConfig)
    allow_same_model: bool = False  #: let the model judge its own work
    calibration: str | None = None  #: a file that `rollouts audit judge` wrote
    #: least lower bound of its AUC for it to decide a winner; null: it decides whatever it is worth
    floor: float | None = Field(default=0.55, ge=0, le=1)
    seed: int = 0  #: of the choice of pairs


class MemoryConfig(_Section):
    """Winners of earlier batches as examples for this one."""

    enabled: bool = True
    store: str = "sqlite"
    path: str | None = None  #: None: memory.sqlite beside the run directory
    namespace: str = "default"
    retrieve: int = Field(default=2, ge=0)  #: examples shown per branch
    floor: float = Field(default=0.15, ge=0, le=1)  #: least relevance, 0..1
    own_task: bool = False  #: whether a task may be shown its own earlier solutions


class EngineConfig(_Section):
    """How the batch is spread."""

    kind: Literal["ray", "inline"] = "ray"  #: inline: this process, no Ray
    address: str | None = None  #: of a running cluster; None: RAY_ADDRESS, else one on this machine
    workers: int | None = Field(default=None, ge=1)  #: branch actors per node; None: one per core, at most 4
    in_flight: int | None = Field(default=None, ge=1)  #: branches at work per actor; None: the kernels' share
    retries: int = Field(default=1, ge=0)  #: new attempts of a branch the machinery failed


class RunConfig(_Section):
    """One batch."""

    tasks: str = (
        "suite"  #: "suite" (bundled), "suite:starter", a task directory, a directory of them, a JSONL list
    )
    task_ids: list[str] = Field(default_factory=list)  #: only these; empty: all
    branches: int = Field(default=4, ge=1, le=1024)  #: per task
    seed: int = 0
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    backend: BackendConfig = Field(default_factory=BackendConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    observation: ObservationConfig = Field(default_factory=ObservationConfig)
    verify: VerifyConfig = Field(default_factory=VerifyConfig)
    fork: ForkConfig | None = (
        None  #: fork finished branches; null: all branches start from the prepared state
    )
    stop: StopConfig | None = None  #: end a task's rollout early; null: all `branches` are run
    judge: JudgeConfig | None = None  #: None: branches of one tier are ordered by their signals alone
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    snapshots: Literal["changes", "end", "off"] = "changes"  #: states kept for later forks
    exports: list[str] = Field(default_factory=list)  #: formats written when the batch is done
    report: bool = True  #: write report.html when the batch is done

    def yaml(self) -> str:
        """The effective config with all defaults filled in."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    @model_validator(mode="after")
    def _states_to_fork_from(self) -> RunConfig:
        if self.fork is not None and self.snapshots != "changes":
            raise ValueError("`fork` needs the states in the midst of branches: set snapshots: changes")
        if self.fork is not None and (self.fork.max_branches or self.branches) < self.branches:
            raise ValueError(f"fork.max_branches is below the {self.branches} first branches")
        return self


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML config and apply `a.b=c` overrides. Raises `ConfigError` with place and mend."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file; the ones shipped are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    return parse_config(text, overrides, origin=str(path))


def parse_config(text: str, overrides: Sequence[str] = (), origin: str = "config") -> RunConfig:
    """The same from text; `origin` names it in messages."""
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{origin}:{mark.line + 1}" if mark else origin
        raise ConfigError(f"{place}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: expected a mapping of settings, found {type(data).__name__}")
    for override in overrides:
        _apply(data, override)
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error, RunConfig, text, origin)) from None


def options_from(given: Sequence[str]) -> dict[str, Any]:
    """Options from texts `a.b=value`, as `--option` takes them. Raises `ConfigError`."""
    data: dict[str, Any] = {}
    for text in given:
        _apply(data, text, "--option", "name=value, for instance --option model=...")
    return data


def _apply(
    data: dict[str, Any],
    override: str,
    flag: str = "--set",
    expected: str = "a.b=value, for instance --set branches=8",
) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{flag} {override}: expected {expected}")
    *parents, last = key.split(".")
    node = data
    for part in parents:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{flag} {override}: {part} is a value, not a section")
        node = child
    try:
        node[last] = yaml.safe_load(value) if value else ""
    except (yaml.YAMLError, ValueError):  # 2026-13-45 looks like a date, and is none
        node[last] = value
