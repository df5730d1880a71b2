"""Advantages on a tree of forked branches: each step against what its siblings led to.

Branches share the steps before their fork. Where branches part, the runs of steps that follow in each are siblings.
The value of a run that ends a branch is its reward; of one that ends in a fork the mean of the values of the ways
on from there, so that forking a branch often gives it no more weight further up. The advantage of a run is its value
minus the mean value of its siblings, itself left out (the leave-one-out baseline of RLOO, at every fork). Hou et
al., "TreeRL" (2025), and Kazemnejad et al., "VinePPO" (2024), for credit by forks.

The ways on from a fork are draws of one policy from one state only if nothing that came after the fork decided that
there would be one. Where it did (a branch forked before the reply that it was least sure of, or by somebody who had
seen how it ended), the way on of the branch itself is no such draw: it has no advantage there and is in no baseline,
and further up only it counts, as if there had been no fork.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .checks import flag, number, whole
from .credit import Flag, advantages
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate

_Run = tuple[int, int]  #: (branch, first step)


@dataclass(frozen=True)
class Segment:
    """A run of steps between two forks (or a fork and an end), which belongs to the branch that made it."""

    branch: int  #: the owner
    start: int  #: first step, counted from the root
    stop: int  #: one past the last; equal to `start` for a branch that ended where others went on
    branches: tuple[int, ...]  #: all that went through it, the owner among them
    value: float | None  #: estimate of the reward to come, as said above; None: nothing is known
    advantage: float | None  #: None: no siblings with a value
    #: of its siblings; "single" also before the first fork, where there is nothing to compare; "selected": see above
    flag: Flag | Literal["selected"]


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
    parent: Sequence[int],
    fork_step: Sequence[int],
    steps: Sequence[int],
    rewards: Sequence[float | None],
    selected: Sequence[bool] | None = None,
) -> TreeAdvantages:
    """Advantages of n branches of one task, all arrays of length n.

    `parent[i]`: the branch that i was forked from, -1 for the task's first state. `fork_step[i]`: how many
    steps it shares with its parent, counted from the root (0 for a parent of -1). `steps[i]`: its steps in
    all, shared ones included. `rewards[i]`: of its end, None when missing; a branch without a reward is in no
    mean. `selected[i]`: i was forked where it was because of what its parent did from there on (default: none was).
    Without forks this is RLOO. Raises `EmptyGroup`, `UnknownCandidate` (also for a circle of parents),
    `NonFiniteScore`.
    """
    chosen = [False] * len(parent) if selected is None else [flag(each, "selected") for each in selected]
    if len(chosen) != len(parent):
        raise UnknownCandidate(f"{len(parent)} parents, {len(chosen)} marks of selection: one each")
    owner = _owners(parent, fork_step, steps, rewards)
    stops = _stops(owner, fork_step, steps)
    through = {key: _through(*key, stop, owner, fork_step) for key, stop in stops.items()}
    forks: dict[
        _Run, list[_Run]
    ] = {}  #: where ways part -> the runs that begin there; its own is that of the owner
    for i, start in stops:
        forks.setdefault((owner[i], start) if start == fork_step[i] else (i, start), []).append((i, start))
    unfair = {(owner[i], fork_step[i]) for i, mark in enumerate(chosen) if mark}
    values = _values(stops, forks, unfair, rewards)
    segments = []
    for begin, runs in forks.items():
        fair = [run for run in runs if not (begin in unfair and run == begin)]
        found = advantages([values[run] for run in fair]) if fair else None
        for run, advantage in zip(fair, found.values if found else (), strict=True):
            flag_ = found.flag if found else "empty"
            segments.append(Segment(*run, stops[run], through[run], values[run], advantage, flag_))
        for run in runs:
            if run not in fair:
                segments.append(Segment(*run, stops[run], through[run], values[run], None, "selected"))
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


def _values(
    stops: Mapping[_Run, int],
    forks: Mapping[_Run, Sequence[_Run]],
    unfair: Collection[_Run],
    rewards: Sequence[float | None],
) -> dict[_Run, float | None]:
    """What each run led to: later runs first, for those before rest on them."""
    values: dict[_Run, float | None] = {}
    for i, start in sorted(stops, key=lambda run: (run[1], stops[run]), reverse=True):
        end = (i, stops[i, start])
        if end not in stops or end == (i, start):
            values[i, start] = rewards[i]
            continue
        ways = [end] if end in unfair else forks[end]
        known = [value for way in ways if (value := values[way]) is not None]
        values[i, start] = math.fsum(known) / len(known) if known else None
    return values


def _through(
    i: int, start: int, stop: int, owner: Sequence[int], fork_step: Sequence[int]
) -> tuple[int, ...]:
    """The branches that went through a run."""
    through = []
    for j in range(len(owner)):
        at, left = j, stop + 1  # `left`: where j left the line of the branch it is on
        while at not in (i, -1):
            at, left = owner[at], fork_step[at]
        if at == i and (j == i or (left >= stop > start)):
            through.append(j)
    return tuple(through)
