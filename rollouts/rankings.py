"""From the branches of a rollout to arrays for `ranking/`, and back to branch names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from ranking import (
    Candidate,
    Comparison,
    DuplicateCandidate,
    FalseWinners,
    Ranking,
    false_winner_rate,
    objective_comparisons,
    rank,
    report_power,
)

from .records import BranchRecord, JudgeSaid, RankingRecord

EQUAL = "equal"  #: the cause of a tie that no judge was asked about: the works are the same to the letter


def rank_rollout(records: Sequence[BranchRecord], judge: JudgeSaid | None = None) -> RankingRecord:
    """Rank the branches of one rollout: solved above all others, then graded signals inside each tier.

    Inside a tier more hidden tests passed is better, then fewer steps, then lower cost. `judge` is what a judge said
    (`judging.judge_rollout`): where it may decide, its comparisons take the place of the signals in the tiers that
    it judged. Missing branches are listed and not ranked. Raises `ValueError` for an empty or mixed group,
    `DuplicateCandidate` for a branch that is in it twice.
    """
    if not records:
        raise ValueError("no branches to rank")
    if len({r.lineage.rollout_id for r in records}) > 1:
        raise ValueError("branches of different rollouts cannot be ranked together")
    records = sorted(records, key=lambda r: r.lineage.index)
    names = [record.lineage.branch_id for record in records]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DuplicateCandidate(f"branch {repeated[0]} is in its group {names.count(repeated[0])} times")
    candidates = [candidate(record) for record in records]
    ranking = rank(
        candidates,
        _comparisons(candidates, names, judge),
        equal=_equal(names, judge),
        repeat_correlation=1.0 if judge is None else judge.repeat_correlation,
    )
    first = records[0]
    return RankingRecord(
        run_id=first.lineage.run_id,
        rollout_id=first.lineage.rollout_id,
        task_id=first.task.task_id,
        winner=None if ranking.winner is None else names[ranking.winner],
        winner_reason=ranking.winner_reason,
        order=[{"branch_id": names[line.index], **_line(asdict(line))} for line in ranking.order],
        missing=[names[index] for index in ranking.missing],
        power=asdict(report_power(_independent(records, ranking), ranked=True)),
        comparisons=ranking.comparisons,
        invalid=ranking.invalid,
        converged=ranking.converged,
        components=ranking.components,
        judge=judge,
    )


def _independent(records: Sequence[BranchRecord], ranking: Ranking) -> list[bool]:
    """Whether each branch from the prepared state was solved, best first. Forks share their parent's luck, so
    they are ranked, and in no rate."""
    in_order = [records[line.index] for line in ranking.order]
    return [r.result.ending == "solved" for r in in_order if r.lineage.parent is None]


def _comparisons(
    candidates: Sequence[Candidate | None], names: Sequence[str], judge: JudgeSaid | None
) -> list[Comparison]:
    """The signals' comparisons, and a judge's in their place where it may decide and was asked."""
    objective = objective_comparisons(candidates)
    if judge is None or not judge.may_decide:
        return objective
    place = {name: index for index, name in enumerate(names)}
    asked = [tier for tier in judge.tiers if any(cause != EQUAL for *_, cause in tier.comparisons)]
    judged = {place[name] for tier in asked for name in tier.branches if name in place}
    said = [
        Comparison(place[first], place[second], outcome, source="judge")
        for tier in judge.tiers
        for first, second, outcome, cause in tier.comparisons
        if first in place and second in place and cause != EQUAL
    ]
    return [c for c in objective if not {c.first, c.second} <= judged] + said


def _equal(names: Sequence[str], judge: JudgeSaid | None) -> list[int]:
    """A label for each branch: works that are the same to the letter are one to a judge that may decide."""
    labels = {name: index for index, name in enumerate(names)}
    if judge is not None and judge.may_decide:
        for tier in judge.tiers:
            for first, second, _outcome, cause in tier.comparisons:
                if cause == EQUAL and first in labels and second in labels:
                    labels[second] = labels[first]
    return [labels[name] for name in names]


def candidate(record: BranchRecord) -> Candidate | None:
    """What the ranking may know of a branch; None when it is missing.

    Only `solved` is a pass: a branch whose budget ran out is not one, whatever its tests say.
    """
    if record.missing:
        return None
    result = record.result
    costs = (float(result.steps + record.trajectory.prefix_steps), *_known(result.cost_usd))
    return Candidate(passed=result.ending == "solved", score=result.reward, costs=costs)


def false_winners(rankings: Iterable[RankingRecord]) -> FalseWinners | None:
    """How many chosen branches failed when they were verified again; None: none was to be."""
    again = [ranking.confirmation for ranking in rankings if ranking.confirmation is not None]
    if not again:
        return None
    told = [False if found.failed else True if found.passes else None for found in again]
    return false_winner_rate([[each] for each in told], [[max(1, found.chosen_from)] for found in again])


def _known(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


def _line(line: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in line.items() if key != "index"}
