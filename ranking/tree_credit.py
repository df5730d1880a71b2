"""Advantages on a tree of forked branches: each step against what its siblings led to.

Branches share the steps before their fork. Where branches part, the steps that follow in each are siblings,
and the value of a run of steps is the mean reward of all branches that went through it. Its advantage is that
value minus the mean value of its siblings, itself left out (the leave-one-out baseline of RLOO, at every
fork). Shared steps are one run, in whose place no branch but its owner counts. Hou et al., "TreeRL" (2025),
and Kazemnejad et al., "VinePPO" (2024), for credit by forks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .checks import number, whole
from .credit import Flag, advantages
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate


@dataclass(frozen=True)
class Segment:
    """A run of steps between two forks (or a fork and an end), which belongs to the branch that made it."""

    branch: int  #: the owner
    start: int  #: first step, counted from the root
    stop: int  #: one past the last; equal to `start` for a branch that ended where others went on
    branches: tuple[int, ...]  #: all that went through it, the owner among them
    value: float | None  #: mean reward of those; None: none has one
    advantage: float | None  #: None: no siblings with a value
    flag: Flag  #: of its siblings; "single" also before the first fork, where there is nothing to compare


@dataclass(frozen=True)
class TreeAdvantages:
    """Every step of the tree once."""

    segments: tuple[Segment, ...]  #: by owner, then start
    steps: tuple[int, ...]

    def of(self, branch: int) -> list[float | None]:
        """The advantage of each step of a branch, also the shared ones; None where there is none."""
        found: list[float | None] = [None] * self._steps(branch)
        for segment in self.segments:
            if branch in segment.branches:
                found[segment.start : segment.stop] = [segment.advantage] * (segment.stop - segment.start)
        return found

    def mask(self, branch: int) -> list[bool]:
        """Which steps of a branch to train on: its own with an advantage, so each step of the tree once."""
        found = [False] * self._steps(branch)
        for segment in self.segments:
            if branch == segment.branch and segment.advantage is not None:
                found[segment.start : segment.stop] = [True] * (segment.stop - segment.start)
        return found

    def _steps(self, branch: int) -> int:
        if whole(branch, "branch") >= len(self.steps):
            raise UnknownCandidate(f"branch {branch} is not one of the {len(self.steps)}")
        return self.steps[branch]


def tree_advantages(
    parent: Sequence[int], fork_step: Sequence[int], steps: Sequence[int], rewards: Sequence[float | None]
) -> TreeAdvantages:
    """Advantages of n branches of one task, all arrays of length n.

    `parent[i]`: the branch that i was forked from, -1 for the task's first state. `fork_step[i]`: how many
    steps it shares with its parent, counted from the root (0 for a parent of -1). `steps[i]`: its steps in
    all, shared ones included. `rewards[i]`: of its end, None when missing; a branch without a reward is in no
    mean. Branches of one fork count once each, so forking one branch often does not outvote its siblings.
    Without forks this is RLOO. Raises `EmptyGroup`, `UnknownCandidate` (also for a circle of parents),
    `NonFiniteScore`.
    """
    owner = _owners(parent, fork_step, steps, rewards)
    stops = _stops(owner, fork_step, steps)
    values = {key: _value(*key, stop, owner, fork_step, rewards) for key, stop in stops.items()}
    forks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, start in stops:
        begin = (owner[i], start) if start == fork_step[i] else (i, start)
        forks.setdefault(begin, []).append((i, start))
    segments = []
    for siblings in forks.values():
        found = advantages([values[key][1] for key in siblings])
        for key, advantage in zip(siblings, found.values, strict=True):
            segments.append(Segment(*key, stops[key], *values[key], advantage, found.flag))
    return TreeAdvantages(tuple(sorted(segments, key=lambda s: (s.branch, s.start))), tuple(steps))


def _owners(
    parent: Sequence[int], fork_step: Sequence[int], steps: Sequence[int], rewards: Sequence[float | None]
) -> list[int]:
    """Whose own step each branch was forked off; -1 for the first state. Checks everything on the way."""
    n = len(parent)
    if n == 0:
        raise EmptyGroup("a tree of 0 branches has no advantages")
    if not n == len(fork_step) == len(steps) == len(rewards):
        raise UnknownCandidate(
            f"{n} parents, {len(fork_step)} fork steps, {len(steps)} steps, {len(rewards)} rewards: one each"
        )
    for i, reward in enumerate(rewards):
        whole(parent[i], f"branch {i}: parent", -n)
        whole(fork_step[i], f"branch {i}: forked after step", -n)
        whole(steps[i], f"branch {i}: steps")
        if reward is not None:
            number(reward, f"branch {i}: reward (None is a missing one)")
    owner = []
    for i in range(n):
        above, seen = parent[i], 0
        if not -1 <= above < n or above == i:
            raise UnknownCandidate(f"branch {i}: its parent {above} is not one of the others (-1: none)")
        most = min(steps[i], steps[above] if above >= 0 else 0)
        if not 0 <= fork_step[i] <= most:
            raise NonFiniteScore(
                f"branch {i}: forked after step {fork_step[i]}, which lies between 0 and {most}"
            )
        # Forked off a step that the parent itself shares: it belongs to somebody further up.
        while above >= 0 and fork_step[i] <= fork_step[above]:
            above, seen = parent[above], seen + 1
            if seen > n or not -1 <= above < n:
                raise UnknownCandidate(f"branch {i}: its parents lead in a circle or out of the {n} branches")
        owner.append(above)
    return owner


def _stops(
    owner: Sequence[int], fork_step: Sequence[int], steps: Sequence[int]
) -> dict[tuple[int, int], int]:
    """(branch, first step) -> one past the last step, for every run of steps between forks."""
    stops: dict[tuple[int, int], int] = {}
    for i, end in enumerate(steps):
        forks = {fork_step[j] for j, above in enumerate(owner) if above == i}
        starts = sorted({fork_step[i], *forks})
        stops.update({(i, start): stop for start, stop in zip(starts, [*starts[1:], end], strict=True)})
    return stops


def _value(
    i: int,
    start: int,
    stop: int,
    owner: Sequence[int],
    fork_step: Sequence[int],
    rewards: Sequence[float | None],
) -> tuple[tuple[int, ...], float | None]:
    """Who went through the run, and the mean of their rewards."""
    through = []
    for j in range(len(owner)):
        at, left = j, stop + 1  # `left`: where j left the line of the branch it is on
        while at not in (i, -1):
            at, left = owner[at], fork_step[at]
        if at == i and (j == i or (left >= stop > start)):
            through.append(j)
    known = [float(reward) for reward in (rewards[j] for j in through) if reward is not None]
    return tuple(through), math.fsum(known) / len(known) if known else None
