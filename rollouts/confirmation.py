"""The winner's curse: whoever was chosen for a high number is verified again before it is called the winner."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_pool import KernelError
from ranking import chosen_rate
from verifiers import Verdict

from .config import ConfirmConfig, RunConfig
from .errors import RunDirError
from .executor import Executor
from .records import BranchRecord, Confirmation, RankingRecord


async def confirmed(
    config: RunConfig,
    executor: Executor,
    records: Sequence[BranchRecord],
    ranking: RankingRecord,
    before: RankingRecord | None = None,
) -> RankingRecord:
    """The ranking with its winner verified again, and without it when it failed: nobody else takes its place,
    for that would be one more choice. What was found of it for an earlier ranking (`before`) stands."""
    ranking = remembering(ranking, before)
    wanted = config.verify.confirm
    if wanted is None or ranking.winner is None or ranking.confirmation is not None:
        return ranking
    chosen = next(r for r in records if r.lineage.branch_id == ranking.winner)
    try:
        verdicts = await executor.confirm(chosen)
    except (RunDirError, KernelError) as error:
        return keeping(ranking, Confirmation.not_possible(ranking.winner, str(error)))
    return keeping(ranking, _confirmation(wanted, chosen, records, verdicts))


def remembering(ranking: RankingRecord, before: RankingRecord | None) -> RankingRecord:
    """A new ranking of a rollout with all that was found of the branches that earlier ones chose."""
    if before is None:
        return ranking
    found = [*before.earlier_confirmations, *([before.confirmation] if before.confirmation else [])]
    found = [each for each in found if each.passes or each.failed]
    own = next((each for each in found if each.branch_id == ranking.winner), None)
    others = [each for each in found if each is not own]
    return keeping(ranking.model_copy(update={"earlier_confirmations": others}), own)


def keeping(ranking: RankingRecord, found: Confirmation | None) -> RankingRecord:
    """A ranking with what became of its winner, and without the winner when it failed. What was found of a branch that
    this ranking does not choose says nothing here."""
    if found is None or found.branch_id != ranking.winner:
        return ranking
    if found.failed == 0:
        return ranking.model_copy(update={"confirmation": found})
    what = "held-out checks" if found.heldout else "verification when it was repeated"
    reason = f"{ranking.winner} was chosen ({ranking.winner_reason}), but failed {what}: {found.reason}"
    return ranking.model_copy(update={"confirmation": found, "winner": None, "winner_reason": reason})


def _confirmation(
    wanted: ConfirmConfig, chosen: BranchRecord, records: Sequence[BranchRecord], verdicts: Sequence[Verdict]
) -> Confirmation:
    passes = sum(verdict.passed for verdict in verdicts)
    failed = sum(verdict.outcome == "fail" for verdict in verdicts)
    counted = [(r, _runs(r)) for r in records if not r.missing]
    place = next(i for i, (record, _) in enumerate(counted) if record is chosen)
    value = chosen_rate(
        [passed for _, (passed, _) in counted],
        [runs for _, (_, runs) in counted],
        place,
        heldout=(passes, passes + failed),
    )
    worst = min(verdicts, key=lambda verdict: ("fail", "unknown", "pass").index(verdict.outcome))
    return Confirmation(
        branch_id=chosen.lineage.branch_id,
        heldout=bool(wanted.parts),
        runs=len(verdicts),
        passes=passes,
        failed=failed,
        raw=value.raw,
        corrected=value.corrected,
        low=value.low,
        high=value.high,
        basis=value.basis if value.basis == "model" else "heldout" if wanted.parts else "repeats",
        chosen_from=value.of,
        reason="" if worst.passed else f"{worst.verifier} {worst.outcome}: {worst.reason}"[:1000],
    )


def _runs(record: BranchRecord) -> tuple[int, int]:
    """(passes, runs) of a branch in the verification that the ranking rests on."""
    verdict = record.result.verdict
    solved = record.result.ending == "solved"
    if verdict is None:
        return int(solved), 1
    repeated = [part for part in verdict.parts if part.runs > 1 and part.passes is not None]
    if not repeated:
        return int(solved), 1
    worst = min(repeated, key=lambda part: (part.passes or 0) / part.runs)
    return worst.passes or 0, worst.runs
