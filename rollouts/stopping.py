"""Ending a rollout early: enough of both outcomes, or none to be hoped for. The rule is kept with what it decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ranking import Contrast, Decision, Futility, StopRule

from .config import RunConfig
from .records import BranchRecord


def rule_of(config: RunConfig) -> StopRule | None:
    """The configured rule; None: every branch is run."""
    wanted = config.stop
    if wanted is None:
        return None
    contrast = futility = None
    if wanted.passes is not None and wanted.fails is not None:
        contrast = Contrast(wanted.passes, wanted.fails)
    if wanted.low is not None and wanted.high is not None:
        futility = Futility(wanted.low, wanted.high, wanted.alpha)
    return StopRule(config.branches, contrast, futility)


class Stopping:
    """Decides on the outcomes of one rollout in the order of its branches, whichever ends first.

    Branches from the prepared state only: a branch that was forked from another is no independent one.
    """

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self._outcomes: dict[int, bool | None] = {}
        self._decision: Decision | None = None

    def add(self, records: Iterable[BranchRecord]) -> None:
        """More branches have ended."""
        for record in records:
            if record.lineage.parent is None:
                solved = record.result.ending == "solved"
                self._outcomes[record.lineage.index] = None if record.missing else solved
        self._decision = None

    @property
    def decision(self) -> Decision:
        """On the outcomes up to the first branch that is still to come."""
        if self._decision is None:
            known = 0
            while known in self._outcomes:
                known += 1
            self._decision = self._rule.decide([self._outcomes[index] for index in range(known)])
        return self._decision

    @property
    def record(self) -> dict[str, Any]:
        """The decision, for the ranking record."""
        return asdict(self.decision)
