"""Which branches there will be, from where they fork, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from .config import SamplingConfig
from .records import Sampling


@dataclass(frozen=True)
class SamplingPlan:
    """Gives every branch its sampling. Diversity is a plan: what differs is written down before it runs."""

    config: SamplingConfig = field(default_factory=SamplingConfig)
    seed: int = 0

    def sampling(self, rollout: str, index: int) -> Sampling:
        """The sampling of branch `index` of a rollout: lists in turn, a seed of its own."""
        c = self.config
        variant = list(c.prompt_variants)[index % len(c.prompt_variants)] if c.prompt_variants else None
        return Sampling(
            temperature=c.temperatures[index % len(c.temperatures)] if c.temperatures else None,
            top_p=c.top_p,
            seed=derive_seed(self.seed, rollout, index),
            effort=c.efforts[index % len(c.efforts)] if c.efforts else None,
            prompt_variant=variant,
            prompt_text=c.prompt_variants[variant] if variant is not None else None,
            max_tokens=c.max_tokens,
        )


@dataclass(frozen=True)
class BranchSpec:
    """One branch to run."""

    rollout_id: str
    branch_id: str
    index: int
    sampling: Sampling
    parent: str | None = None  #: branch whose first `fork_step` steps it shares; None: the prepared state
    fork_step: int = 0
    attempt: int = 0


@dataclass(frozen=True)
class TreeNode:
    """What a plan may know of a finished branch."""

    branch_id: str
    parent: str | None
    fork_step: int
    steps: int
    solved: bool | None  #: None: missing


class ForkPlan(Protocol):
    """Decides, from the tree so far, which branches come next. An empty answer ends the rollout."""

    def next(self, rollout_id: str, tree: Sequence[TreeNode]) -> Sequence[BranchSpec]:
        """Specs of new branches; never one that is in the tree already."""
        ...


@dataclass(frozen=True)
class Independent:
    """N branches from the prepared state, all at once."""

    branches: int
    sampling: SamplingPlan = field(default_factory=SamplingPlan)

    def next(self, rollout_id: str, tree: Sequence[TreeNode]) -> Sequence[BranchSpec]:
        """All that are not there yet."""
        done = {node.branch_id for node in tree}
        specs = (
            BranchSpec(rollout_id, branch_id(index), index, self.sampling.sampling(rollout_id, index))
            for index in range(self.branches)
        )
        return [spec for spec in specs if spec.branch_id not in done]


@dataclass(frozen=True)
class AtStep:
    """N branches that share the first `step` steps of a finished branch, numbered from `first` on."""

    parent: str
    step: int
    branches: int
    first: int
    sampling: SamplingPlan = field(default_factory=SamplingPlan)

    def next(self, rollout_id: str, tree: Sequence[TreeNode]) -> Sequence[BranchSpec]:
        """All that are not there yet."""
        done = {node.branch_id for node in tree}
        specs = (
            BranchSpec(
                rollout_id,
                branch_id(index),
                index,
                self.sampling.sampling(f"{rollout_id}/{self.parent}@{self.step}", index),
                parent=self.parent,
                fork_step=self.step,
            )
            for index in range(self.first, self.first + self.branches)
        )
        return [spec for spec in specs if spec.branch_id not in done]


def branch_id(index: int) -> str:
    """The name of a branch within its rollout."""
    return f"b{index:03d}"


def derive_seed(seed: int, rollout: str, index: int) -> int:
    """A 31-bit seed that depends on nothing but its arguments."""
    return int.from_bytes(sha256(f"{seed}:{rollout}:{index}".encode()).digest()[:4], "big") >> 1
