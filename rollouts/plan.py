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
    fork_by: str = ""  #: as in `records.Lineage`
    attempt: int = 0


@dataclass(frozen=True)
class TreeNode:
    """What a plan may know of a finished branch: its shape, and nothing of how it ended but that it did."""

    branch_id: str
    parent: str | None
    fork_step: int
    steps: int  #: shared ones included
    missing: bool = False  #: ended by the machinery
    #: numbers of first steps that a fork could share: own ones, not all of them, and their state was kept
    forkable: tuple[int, ...] = ()
    recovery: int | None = None  #: steps up to its own first failing test run after a change of its own
    #: (steps before a reply, log-probability of the reply), where the policy knows it
    certainty: tuple[tuple[int, float], ...] = ()


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
            _fork(rollout_id, self.parent, self.step, index, self.sampling)
            for index in range(self.first, self.first + self.branches)
        )
        return [spec for spec in specs if spec.branch_id not in done]


class Where(Protocol):
    """Says at which steps a finished branch is forked."""

    def __call__(self, node: TreeNode) -> Sequence[int]:
        """Numbers of first steps that the forks share with it, each one of `node.forkable`."""
        ...


@dataclass(frozen=True)
class ChosenStep:
    """After a step of choice; branches that have ended by then are not forked."""

    step: int

    def __call__(self, node: TreeNode) -> Sequence[int]:
        """See `Where`."""
        return [self.step] if self.step in node.forkable else []


@dataclass(frozen=True)
class Recovery:
    """After the first test run that failed though something had been changed: what does it do about it?

    Nothing that comes after decides that, so the branch's own way on is one draw of the policy like its forks'.
    """

    def __call__(self, node: TreeNode) -> Sequence[int]:
        """See `Where`."""
        return [node.recovery] if node.recovery in node.forkable and node.recovery is not None else []


@dataclass(frozen=True)
class LeastCertain:
    """Before the replies that the policy itself thought least probable, `points` of them.

    This looks at the whole branch: its own way on from there is no fair draw, and credit leaves it out.
    """

    points: int = 1

    def __call__(self, node: TreeNode) -> Sequence[int]:
        """See `Where`. Replies that could not have been others (log-probability 0) are no forks of any road."""
        unsure = [(log_prob, step) for step, log_prob in node.certainty if log_prob < 0]
        return sorted([step for _, step in sorted(unsure) if step in node.forkable][: self.points])


@dataclass(frozen=True)
class Forked:
    """Branches from the prepared state, then rounds of forks of what the round before brought.

    Which branches are forked never depends on how they ended. Each round is decided when the one
    before is complete, from that alone, so an interrupted rollout goes on with the same branches.
    """

    roots: Independent
    where: Where
    branches: int = 2  #: new branches at each fork point
    parents: int | None = None  #: how many branches of a round are forked, the first ones; None: all
    rounds: int = 1
    max_branches: int | None = None  #: of the whole rollout
    #: of the whole rollout: no fork begins that would pass it if it took as many steps as its parent from there
    max_steps: int | None = None
    by: str = ""  #: what chooses the points, for the records

    def next(self, rollout_id: str, tree: Sequence[TreeNode]) -> Sequence[BranchSpec]:
        """What is missing of the first round that is not complete."""
        done = {node.branch_id: node for node in tree}
        wave = list(self.roots.next(rollout_id, ()))
        before: list[str] = []
        for _ in range(self.rounds + 1):
            if left := [spec for spec in wave if spec.branch_id not in done]:
                return left
            before += [spec.branch_id for spec in wave]
            wave = self._forks(rollout_id, [done[spec.branch_id] for spec in wave], [done[b] for b in before])
        return []

    def _forks(
        self, rollout_id: str, wave: Sequence[TreeNode], before: Sequence[TreeNode]
    ) -> list[BranchSpec]:
        """The round after `wave`; `before` is everything up to it."""
        specs: list[BranchSpec] = []
        steps = sum(node.steps - node.fork_step for node in before)
        points = [(node, step) for node in self._chosen(wave) for step in self.where(node)]
        for node, step in points:
            for _ in range(self.branches):
                steps += node.steps - step
                index = len(before) + len(specs)
                if self.max_branches is not None and index >= self.max_branches:
                    return specs
                if self.max_steps is not None and steps > self.max_steps:
                    return specs
                specs.append(_fork(rollout_id, node.branch_id, step, index, self.roots.sampling, self.by))
        return specs

    def _chosen(self, wave: Sequence[TreeNode]) -> Sequence[TreeNode]:
        usable = [node for node in wave if not node.missing and self.where(node)]
        return usable if self.parents is None else usable[: self.parents]


def _fork(
    rollout_id: str, parent: str, step: int, index: int, sampling: SamplingPlan, by: str = ""
) -> BranchSpec:
    return BranchSpec(
        rollout_id,
        branch_id(index),
        index,
        sampling.sampling(f"{rollout_id}/{parent}@{step}", index),
        parent=parent,
        fork_step=step,
        fork_by=by,
    )


def branch_id(index: int) -> str:
    """The name of a branch within its rollout."""
    return f"b{index:03d}"


def derive_seed(seed: int, rollout: str, index: int) -> int:
    """A 31-bit seed that depends on nothing but its arguments."""
    return int.from_bytes(sha256(f"{seed}:{rollout}:{index}".encode()).digest()[:4], "big") >> 1
