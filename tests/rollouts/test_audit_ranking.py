"""`rollouts audit ranking`: what a run shows beside the outcomes that made its ranking."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from factories import make_record

from rollouts.audits import audit_ranking, print_ranking
from rollouts.rankings import rank_rollout
from rollouts.records import BranchRecord, Confirmation
from rollouts.store import RunStore
from verifiers import Verdict


def verdict(name: str, passed: bool, score: float | None = None, **more: Any) -> Verdict:
    return Verdict(
        verifier=name,
        outcome="pass" if passed else "fail",
        score=float(passed) if score is None else score,
        reason="x",
        **more,
    )


def branch(task: int, index: int, passed: bool, parts: list[Verdict]) -> BranchRecord:
    record = make_record(index, "solved" if passed else "failed", rollout_id=f"t{task}", task_id=f"t{task}")
    whole = verdict("pipeline", passed, parts=tuple(parts))
    return record.model_copy(update={"result": record.result.model_copy(update={"verdict": whole})})


def run(
    tmp_path: Path, rollouts: list[list[BranchRecord]], *, confirmations: list[bool] | None = None
) -> Path:
    with RunStore.create(tmp_path / "run", "tasks: x\n") as store:
        with store.writer("driver") as writer:
            for records in rollouts:
                for record in records:
                    writer.append(record)
        for number, records in enumerate(rollouts):
            ranking = rank_rollout(records)
            if confirmations is not None:
                held = confirmations[number]
                found = Confirmation(
                    branch_id="b000", runs=1, passes=int(held), failed=int(not held), chosen_from=len(records)
                )
                ranking = ranking.model_copy(update={"confirmation": found})
            store.append_ranking(ranking)
    return tmp_path / "run"


def judged(task: int, scores: list[float]) -> list[BranchRecord]:
    """Two that pass and two that fail, with a judge's scores in that order."""
    passed = [True, True, False, False]
    return [
        branch(task, i, ok, [verdict("build", ok), verdict("judge", score >= 0.5, score)])
        for i, (ok, score) in enumerate(zip(passed, scores, strict=True))
    ]


def test_a_judge_that_tells_solved_from_failed_is_shown_to_by_an_exact_test(tmp_path: Path) -> None:
    path = run(tmp_path, [judged(task, [0.9, 0.8, 0.2, 0.1]) for task in range(3)])
    with RunStore.open(path) as store:
        found = audit_ranking(store)
    assert found.blind and found.judge is not None
    assert found.judge.auc == 1.0 and found.judge.tasks == 3
    assert found.judge.discrimination_p == pytest.approx(
        (1 / 6) ** 3
    )  # one of 6 orders in each of three tasks
    assert found.p_adjusted == {"judge": found.judge.discrimination_p}


def test_a_judge_that_guesses_shows_nothing(tmp_path: Path) -> None:
    path = run(tmp_path, [judged(task, [0.9, 0.1, 0.9, 0.1]) for task in range(6)])
    with RunStore.open(path) as store:
        found = audit_ranking(store)
    assert found.judge is not None and found.judge.auc == 0.5
    assert found.judge.discrimination_p is not None and found.judge.discrimination_p > 0.4


def test_repeated_runs_are_set_against_one_another_and_corrected_together(tmp_path: Path) -> None:
    def twice(first: bool, second: bool) -> Verdict:
        runs = (verdict("build", first), verdict("build", second))
        return verdict("build", first and second, parts=runs, runs=2, passes=first + second)

    steady = [
        [branch(t, i, i < 2, [twice(i < 2, i < 2), verdict("visual", i < 2)]) for i in range(4)]
        for t in range(4)
    ]
    with RunStore.open(run(tmp_path, steady)) as store:
        found = audit_ranking(store)
    assert set(found.cross_fits) == {"build (two runs)", "build and visual"}
    raw = {name: fit.p for name, fit in found.cross_fits.items()}
    assert raw["build (two runs)"] == pytest.approx((1 / 6) ** 4)
    assert found.p_adjusted["build (two runs)"] == pytest.approx(2 * (1 / 6) ** 4)
    assert found.judge is None


def test_false_winners_are_counted_with_their_interval(tmp_path: Path) -> None:
    path = run(
        tmp_path, [judged(t, [0.9, 0.8, 0.2, 0.1]) for t in range(4)], confirmations=[True] * 3 + [False]
    )
    with RunStore.open(path) as store:
        found = audit_ranking(store).false_winners
    assert found is not None
    assert (found.failed, found.rate.value, found.rate.n, found.of_mean) == (1, 0.25, 4, 4.0)
    assert found.rate.low is not None and 0 < found.rate.low < 0.25


def test_the_command_says_it_in_sentences_and_as_json(tmp_path: Path) -> None:
    path = run(tmp_path, [judged(task, [0.9, 0.8, 0.2, 0.1]) for task in range(3)])
    command = [sys.executable, "-m", "rollouts", "audit", "ranking", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=None)
    assert told.returncode == 0, told.stderr
    assert "did not see the outcomes" in told.stdout and "p = 0.00463" in told.stdout.replace("\n", " ")
    found = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert found["judge"]["basis"] == "heldout" and found["rollouts"] == 3


def test_an_empty_run_has_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    with RunStore.open(run(tmp_path, [])) as store:
        print_ranking(audit_ranking(store), Console(width=200))
    assert "No judge scored" in capsys.readouterr().out
