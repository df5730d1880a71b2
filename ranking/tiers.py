"""Objective tiers: the infinite-weight limit of "objective first", so that no judge can outvote a failure."""

from __future__ import annotations

from collections.abc import Sequence

from .records import Candidate

PASSING = 0
FAILING = 1


def tier(candidate: Candidate) -> int:
    """0 for an explicit pass, 1 for everything else: unknown fails closed."""
    return PASSING if candidate.passed is True else FAILING


def tiers(candidates: Sequence[Candidate | None]) -> dict[int, list[int]]:
    """Indices by tier, best tier first, ascending inside. Missing candidates (None) are in no tier."""
    groups: dict[int, list[int]] = {PASSING: [], FAILING: []}
    for index, candidate in enumerate(candidates):
        if candidate is not None:
            groups[tier(candidate)].append(index)
    return {level: members for level, members in groups.items() if members}
