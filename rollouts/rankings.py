"""From the branches of a rollout to arrays for `ranking/`, and back to branch names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ranking import Candidate, rank

from .records import BranchRecord, RankingRecord


def rank_rollout(records: Sequence[BranchRecord]) -> RankingRecord:
    """Rank the branches of one rollout: solved above all others, then graded signals inside each tier.

    Inside a tier more hidden tests passed is better, then fewer steps, then lower cost. Missing branches
    are listed and not ranked. Raises `ValueError` for an empty or mixed group.
    """
    if not records:
        raise ValueError("no branches to rank")
    if len({r.lineage.rollout_id for r in records}) > 1:
        raise ValueError("branches of different rollouts cannot be ranked together")
    records = sorted(records, key=lambda r: r.lineage.index)
    ranking = rank([candidate(record) for record in records])
    names = [record.lineage.branch_id for record in records]
    first = records[0]
    return RankingRecord(
        run_id=first.lineage.run_id,
        rollout_id=first.lineage.rollout_id,
        task_id=first.task.task_id,
        winner=None if ranking.winner is None else names[ranking.winner],
        winner_reason=ranking.winner_reason,
        order=[{"branch_id": names[line.index], **_line(asdict(line))} for line in ranking.order],
        missing=[names[index] for index in ranking.missing],
        power=asdict(ranking.power),
        comparisons=ranking.comparisons,
        invalid=ranking.invalid,
        converged=ranking.converged,
        components=ranking.components,
    )


def candidate(record: BranchRecord) -> Candidate | None:
    """What the ranking may know of a branch; None when it is missing.

    Only `solved` is a pass: a branch whose budget ran out is not one, whatever its tests say.
    """
    if record.missing:
        return None
    result = record.result
    costs = (float(result.steps + record.trajectory.prefix_steps), *_known(result.cost_usd))
    return Candidate(passed=result.ending == "solved", score=result.reward, costs=costs)


def _known(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


def _line(line: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in line.items() if key != "index"}
