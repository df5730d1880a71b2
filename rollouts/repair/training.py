"""Compliance records as training data, by the same road as everything else: branch records, the gate, exports.

An attempt becomes a branch that answered the bare task: prompt -> artifact. The text at the end of a passing
record is a solved branch (SFT), the failing attempts of that record are failed branches of the same rollout,
so that the ordinary pair export sets the repaired text against them (DPO). Texts that a checker edit touched
are left out unless they are asked for; a missing record gives nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from envs.trajectory import Message, Trajectory, Turn
from verifiers import Verdict
from verifiers.constraints import is_empty

from ..exports import Rollout, Row, make_exporter
from ..governance import Admitted, Gate
from ..records import BranchRecord, EnvironmentLayer, Lineage, Result, SamplingLayer
from ..store import RunStore
from .records import Attempt, ComplianceRecord

Provenance = dict[str, object]


@dataclass
class TrainingRows:
    """Rows for trainers, and what gave none."""

    sft: list[Row] = field(default_factory=list)
    dpo: list[Row] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)  #: reason -> attempts, records or pairs
    redactions: Counter[str] = field(default_factory=Counter)  #: kind of secret -> how many were replaced


def training_rows(
    records: Iterable[ComplianceRecord], gate: Gate | None = None, *, exclude_checker_edits: bool = True
) -> TrainingRows:
    """(prompt -> final text) for each pass, and (prompt, final text, failing attempt) for each repair.

    Every row carries `compliance`: mode, seed, strategies, whether a checker edit was in it. The same text for
    the same task, and the same pair, is written once.
    """
    gate, out = gate or Gate(), TrainingRows()
    sft, dpo, seen = make_exporter("sft"), make_exporter("dpo"), set[bytes]()
    for record in records:
        branches = branches_of(record, exclude_checker_edits=exclude_checker_edits, excluded=out.excluded)
        admitted = list(_admitted(branches, gate, out))
        told = {each.record.lineage.branch_id: each.record.labels["compliance"] for each in admitted}
        solved = [each for each in admitted if each.record.result.ending == "solved"]
        for row in _once(sft.rows(Rollout.of(solved), out.excluded), ("messages",), seen, out.excluded):
            out.sft.append({**row, "compliance": told[row["branch_id"]]})
        if solved and len(admitted) > len(solved):
            keys = ("prompt", "chosen", "rejected")
            for row in _once(dpo.rows(Rollout.of(admitted), out.excluded), keys, seen, out.excluded):
                sides = {side: told[row[f"{side}_branch"]] for side in ("chosen", "rejected")}
                out.dpo.append({**row, "compliance": sides})
    return out


def write_run(
    records: Iterable[ComplianceRecord], path: Path | str, *, exclude_checker_edits: bool = True
) -> int:
    """The same branches as a run directory, for `rollouts export` and everything else that reads runs.

    Returns how many branches were new there. Raises `RunDirError`.
    """
    config = f"compliance: true\nexclude_checker_edits: {str(exclude_checker_edits).lower()}\n"
    with RunStore.create(path, config) as store:
        writer = store.writer("compliance")
        return sum(
            writer.append(branch)
            for record in records
            for branch in branches_of(
                record, run_id=store.run_id, exclude_checker_edits=exclude_checker_edits
            )
        )


def branches_of(
    record: ComplianceRecord,
    *,
    run_id: str = "compliance",
    exclude_checker_edits: bool = True,
    excluded: Counter[str] | None = None,
) -> list[BranchRecord]:
    """The final text, if it passes, as a solved branch; each failing attempt as a failed one of the rollout.

    What gives no branch is counted in `excluded` under its reason.
    """
    excluded = Counter() if excluded is None else excluded
    if record.missing:
        excluded[f"missing_{record.ending}"] += 1
        return []
    made = []
    for attempt in record.attempts:
        final = attempt.index == record.final and attempt.passed
        if attempt.error or attempt.undecided or is_empty(attempt.artifact):
            excluded["no_text_to_learn_from"] += 1
        elif exclude_checker_edits and attempt.checker_edit:
            excluded["checker_edit"] += 1
        elif attempt.passed and not final:
            excluded["passed_and_not_final"] += 1
        else:
            made.append(_branch(record, attempt, run_id))
    return made


def _branch(record: ComplianceRecord, attempt: Attempt, run_id: str) -> BranchRecord:
    name = f"{record.mode}-{'x' if record.seed is None else record.seed}"
    return BranchRecord(
        lineage=Lineage(
            run_id=run_id,
            rollout_id=f"{record.task.task_id}.{name}",
            branch_id=f"{name}-a{attempt.index:03d}",
            index=attempt.index,
        ),
        task=record.task,
        environment=EnvironmentLayer(backend="none", restores="nothing", isolated=False, base=""),
        sampling=SamplingLayer(
            policy=record.policy,
            model=record.model,
            requested=attempt.sampling,
            effective=attempt.effective,
        ),
        trajectory=_trajectory(record, attempt),
        result=Result(
            ending="solved" if attempt.passed else "failed",
            reward=attempt.score,
            verdict=Verdict(
                verifier="constraints",
                outcome="pass" if attempt.passed else "fail",
                score=attempt.score,
                reason=_reason(attempt),
                checks=attempt.results,
            ),
            turns=1,
            input_tokens=attempt.usage.input_tokens,
            output_tokens=attempt.usage.output_tokens,
            cost_usd=attempt.usage.cost_usd,
            seconds=attempt.seconds,
            started_at=record.started_at,
        ),
        labels={"compliance": _provenance(record, attempt)},
    )


def _trajectory(record: ComplianceRecord, attempt: Attempt) -> Trajectory:
    """The bare task, answered. Token data stay only where the policy said exactly that to exactly this."""
    asked = Message(role="user", content=record.task.instruction)
    answered = Message(role="assistant", content=attempt.artifact)
    turns = []
    if attempt.reply is not None:
        own = attempt.messages == (asked,) and attempt.reply.content == attempt.artifact
        turns.append(
            Turn(
                index=0,
                message=1,
                seconds=attempt.seconds,
                finish=attempt.finish,
                usage=attempt.usage,
                log_prob=attempt.log_prob if own else None,
                tokens=attempt.tokens if own else None,
                effective=attempt.effective,
            )
        )
    return Trajectory(messages=[asked, answered], turns=turns, answer=attempt.artifact, stop="submitted")


def _provenance(record: ComplianceRecord, attempt: Attempt) -> Provenance:
    chain: list[str] = []
    at: Attempt | None = attempt
    while at is not None:
        chain.insert(0, at.strategy)
        at = None if at.parent is None else record.attempts[at.parent]
    return {
        "mode": record.mode,
        "seed": record.seed,
        "attempt": attempt.index,
        "strategies": chain,
        "checker_edit": attempt.checker_edit,
        "kept": attempt.kept,
        "constraints_digest": record.constraints_digest,
    }


def _reason(attempt: Attempt) -> str:
    wrong = [f"{result.id}: {result.message}" for result in attempt.results if result.outcome != "pass"]
    return "; ".join(wrong)[:1000] or "all constraints hold"


def _admitted(branches: Sequence[BranchRecord], gate: Gate, out: TrainingRows) -> Iterator[Admitted]:
    for branch in branches:
        passed = gate.admit(branch)
        if isinstance(passed, Admitted):
            out.redactions.update(passed.redactions)
            yield passed
        else:
            out.excluded[passed.reason] += 1


def _once(
    rows: Iterable[Row], keys: Sequence[str], seen: set[bytes], excluded: Counter[str]
) -> Iterator[Row]:
    for row in rows:
        digest = sha256(repr((row["task_digest"], [row[key] for key in keys])).encode()).digest()
        if digest in seen:
            excluded["duplicate"] += 1
        else:
            seen.add(digest)
            yield row
