"""`rollouts audit ranking`: whether the order of a run's branches means something, by tests that are no circle.

The outcomes that made a ranking cannot test it. Two things can: a judge's scores, given without sight of the
outcomes, against those outcomes; and two verifiers, or two runs of one, each ranking for the other to test. Both are
exact permutation tests in strata of tasks; several p-values are corrected together (Holm).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from rich.console import Console
from rich.markup import escape

from ranking import CrossFit, FalseWinners, JudgeValidity, Stratum, cross_fit, holm, judge_validity
from verifiers import Verdict

from ..judging import leaked
from ..rankings import false_winners
from ..records import BranchRecord
from ..store import RunStore

JUDGE = "judge"
_RUNS = " (two runs)"


@dataclass(frozen=True)
class RankingAudit:
    """What is evidence, and beside it what is none."""

    run_id: str
    rollouts: int
    judge: JudgeValidity | None  #: None: no judge scored the branches
    blind: bool  #: nothing that a verifier said stood in what the judge was shown
    cross_fits: Mapping[str, CrossFit]  #: by the two that were set against one another
    p_adjusted: Mapping[str, float]  #: of all p-values that are evidence, corrected together
    false_winners: FalseWinners | None
    insample_below: int  #: rollouts whose in-sample p, which is circular, is below 0.05

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run_id": self.run_id,
            "rollouts": self.rollouts,
            "judge": None if self.judge is None else asdict(self.judge),
            "blind": self.blind,
            "cross_fits": {name: {"p": fit.p, "rule": fit.rule} for name, fit in self.cross_fits.items()},
            "p_adjusted": dict(self.p_adjusted),
            "false_winners": None if self.false_winners is None else asdict(self.false_winners),
            "mcnemar_p_insample_below_005": self.insample_below,
        }


def audit_ranking(store: RunStore) -> RankingAudit:
    """Read a finished run once. Branches that were forked from others are left out: they are no independent ones."""
    scored: list[Stratum] = []
    doubles: dict[str, list[tuple[Stratum, Stratum]]] = defaultdict(list)
    blind, rollouts = True, 0
    for records in store.rollouts():
        own = [record for record in records if record.lineage.parent is None]
        rollouts += 1
        blind = blind and not any(leaked(record) for record in own)
        if stratum := _judged(own):
            scored.append(stratum)
        for name, pair in _doubles(own):
            doubles[name].append(pair)
    judge = judge_validity(scored, blind=blind, basis="heldout" if blind else "circular") if scored else None
    fits = {name: cross_fit(*map(list, zip(*pairs, strict=True))) for name, pairs in sorted(doubles.items())}
    rankings = store.rankings().values()
    return RankingAudit(
        run_id=store.run_id,
        rollouts=rollouts,
        judge=judge,
        blind=blind,
        cross_fits=fits,
        p_adjusted=_corrected(judge, fits),
        false_winners=false_winners(rankings),
        insample_below=sum((r.power.get("mcnemar_p") or 1.0) < 0.05 for r in rankings),
    )


def print_ranking(found: RankingAudit, console: Console) -> None:
    """The same in sentences."""
    for line in _lines(found):
        console.print(escape(line), highlight=False)


def _lines(found: RankingAudit) -> Iterable[str]:
    judge = found.judge
    if judge is None:
        yield "No judge scored the branches (a part `judge` in verify.parts does): its order cannot be tested."
    elif judge.auc is None or judge.auc_low is None or judge.auc_high is None:
        yield f"The judge's scores: nothing to tell; none of {judge.one_sided} tasks has solved and failed branches."
    else:
        yield (
            f"A judge {'that did not see the outcomes' if found.blind else 'that SAW outcomes (no evidence)'} puts a "
            f"solved above a failed branch in {judge.auc:.0%} of pairs (95 % interval {judge.auc_low:.0%} to "
            f"{judge.auc_high:.0%}; {judge.tasks} tasks with both outcomes, {judge.pairs} pairs)"
            f"{_p(judge.discrimination_p, found.p_adjusted.get(JUDGE))}."
        )
    for name, fit in found.cross_fits.items():
        yield f"Cross-fit of {name}: {_p(fit.p, found.p_adjusted.get(name)).removeprefix('; ') or 'nothing to tell'}."
    if not found.cross_fits:
        yield "Nothing was verified by two verifiers or twice (verify.repeats): no cross-fit."
    winners = found.false_winners
    if winners is not None and winners.rate.value is not None:
        low, high = winners.rate.low or 0.0, 1.0 if winners.rate.high is None else winners.rate.high
        yield (
            f"{winners.failed} of {winners.rate.n} winners failed when verified again: false winners "
            f"{winners.rate.value:.0%} (95 % interval {low:.0%} to {high:.0%}), each chosen from {winners.of_mean:.1f}."
        )
    yield (
        f"The in-sample p of {found.insample_below} of {found.rollouts} rollouts is below 0.05: computed on what made "
        "the ranking, it is no evidence."
    )


def _p(p: float | None, adjusted: float | None) -> str:
    if p is None:
        return ""
    return f"; one-sided p = {p:.3g}" + ("" if adjusted in (None, p) else f", {adjusted:.3g} corrected")


def _judged(records: Sequence[BranchRecord]) -> Stratum | None:
    """The judge's score of each branch against whether it passed everything else."""
    rows = []
    for record in records:
        parts = _parts(record)
        judge = parts.pop(JUDGE, None)
        outcomes = {part.outcome for part in parts.values() if part.outcome != "unknown"}
        if judge is not None and judge.score is not None and outcomes:
            rows.append((judge.score, outcomes == {"pass"}))
    return Stratum([row[0] for row in rows], [row[1] for row in rows]) if rows else None


def _doubles(records: Sequence[BranchRecord]) -> Iterable[tuple[str, tuple[Stratum, Stratum]]]:
    """What was verified by two verifiers, or twice by one: the two as strata over the same branches."""
    rows: dict[str, list[tuple[Verdict | None, Verdict | None]]] = defaultdict(list)
    for record in records:
        parts = _parts(record)
        parts.pop(JUDGE, None)
        for name, part in parts.items():
            if part.runs > 1 and len(part.parts) > 1:
                rows[name + _RUNS].append((part.parts[0], part.parts[1]))
        for first, second in combinations(sorted(parts), 2):
            rows[f"{first} and {second}"].append((parts[first], parts[second]))
    for name, pairs in rows.items():
        yield name, (_stratum([first for first, _ in pairs]), _stratum([second for _, second in pairs]))


def _stratum(verdicts: Sequence[Verdict | None]) -> Stratum:
    known = [
        verdict if verdict is not None and verdict.outcome != "unknown" else None for verdict in verdicts
    ]
    return Stratum(
        [None if verdict is None else verdict.score for verdict in known],
        [None if verdict is None else verdict.passed for verdict in known],
    )


def _parts(record: BranchRecord) -> dict[str, Verdict]:
    verdict = record.result.verdict
    if verdict is None or record.missing:
        return {}
    return {part.verifier: part for part in verdict.parts} or {verdict.verifier: verdict}


def _corrected(judge: JudgeValidity | None, fits: Mapping[str, CrossFit]) -> dict[str, float]:
    raw = {name: fit.p for name, fit in fits.items() if fit.p is not None}
    if judge is not None and judge.discrimination_p is not None:
        raw[JUDGE] = judge.discrimination_p
    return dict(zip(raw, holm(list(raw.values())), strict=True)) if raw else {}
