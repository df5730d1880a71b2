"""One rollout as exporters get it: its admitted branches, and what each of their steps was worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ranking import TreeAdvantages, advantages, tree_advantages

from ..governance import Admitted


@dataclass(frozen=True)
class Twig:
    """What credit needs to know of a branch."""

    branch_id: str
    parent: str | None
    fork_step: int
    steps: int  #: shared ones included
    reward: float | None  #: None: missing


class Credit:
    """Leaf rewards as advantages of steps, on the tree of all branches of one rollout.

    Branches without a reward are in no mean and have no advantage; so has a branch whose parent is not there.
    Rewards that are no number below infinity are taken as missing: what is wrong with them the gate says.
    """

    def __init__(self, twigs: Iterable[Twig]) -> None:
        known: dict[str, Twig] = {}
        for twig in twigs:  # parents come before their forks
            if twig.parent is None or twig.parent in known:
                known[twig.branch_id] = twig
        self._twigs = list(known.values())
        self._places = {twig.branch_id: place for place, twig in enumerate(self._twigs)}

    def steps(self, branch_id: str) -> list[float | None]:
        """The tree advantage of each step, shared ones included; None where there is nothing to compare with."""
        place = self._places.get(branch_id)
        return [] if place is None else self.tree.of(place)

    def trains(self, branch_id: str) -> list[bool]:
        """Which steps are the branch's own and have an advantage: each step of the tree is so once at most."""
        place = self._places.get(branch_id)
        return [] if place is None else self.tree.mask(place)

    def group(self, branch_id: str) -> float | None:
        """The whole branch against the others of its rollout: its reward minus the mean of theirs (RLOO)."""
        place = self._places.get(branch_id)
        return None if place is None else self._groups[place]

    def fork_of(self, branch_id: str) -> tuple[str | None, int]:
        """(branch whose line it left, after how many steps); (None, 0) for the task's prepared state.

        A fork of steps that the parent shares itself has left the line of somebody further up.
        """
        place = self._places.get(branch_id)
        if place is None:
            return branch_id, -1  # of a parent that is not there: a line of its own
        step, above = self._twigs[place].fork_step, self._twigs[place].parent
        while above is not None and step <= self._twigs[self._places[above]].fork_step:
            above = self._twigs[self._places[above]].parent
        return above, 0 if above is None else step

    def value(self, branch_id: str, step: int) -> tuple[float | None, int]:
        """(mean reward, number) of the branches that went on from there as this one did, up to the next fork."""
        place = self._places.get(branch_id)
        return (None, 0) if place is None else self._values.get((place, step), (None, 0))

    @cached_property
    def tree(self) -> TreeAdvantages:
        """The advantages by place in the order of the branches. Raises the errors of `ranking`."""
        places = self._places
        return tree_advantages(
            [-1 if twig.parent is None else places[twig.parent] for twig in self._twigs],
            [twig.fork_step for twig in self._twigs],
            [twig.steps for twig in self._twigs],
            [twig.reward for twig in self._twigs],
        )

    @cached_property
    def _values(self) -> dict[tuple[int, int], tuple[float | None, int]]:
        rewards = [twig.reward for twig in self._twigs]
        return {
            (s.branch, s.start): (s.value, sum(rewards[i] is not None for i in s.branches))
            for s in self.tree.segments
        }

    @cached_property
    def _groups(self) -> tuple[float | None, ...]:
        return advantages([twig.reward for twig in self._twigs]).values


class Rollout:
    """The admitted branches of one rollout by index, one in memory at a time, to be gone through once."""

    def __init__(self, branches: Iterable[Admitted], credit: Credit) -> None:
        self._branches = iter(branches)
        self.credit = credit

    @classmethod
    def of(cls, branches: Sequence[Admitted]) -> Rollout:
        """A rollout from branches at hand."""
        return cls(branches, Credit(twig(each) for each in branches))

    def __iter__(self) -> Iterator[Admitted]:
        return self._branches


def twig(admitted: Admitted) -> Twig:
    """A branch as credit knows it."""
    record = admitted.record
    lineage = record.lineage
    return Twig(
        lineage.branch_id,
        lineage.parent,
        lineage.fork_step,
        len(record.trajectory.steps),
        record.result.reward,
    )
