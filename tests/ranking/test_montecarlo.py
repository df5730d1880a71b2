"""Figures of simulated runs, and the script that tells them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ranking.montecarlo import BAND, Measured, coverage, false_positives, mean, share
from ranking.simulate import TRUTHS, ring_with_chords, round_robin, scored_tasks, successive_halving

ROOT = Path(__file__).resolve().parents[2]


def test_a_figure_keeps_its_limit_or_does_not_or_has_none():
    assert Measured("x", 0.95, BAND).ok is True
    assert Measured("x", 0.98, BAND).ok is False
    assert Measured("x", 0.0, 0.06).ok is True
    assert Measured("x", 0.07, 0.06).ok is False
    assert Measured("x", 9.0).ok is None


def test_false_positives_may_be_five_percent_and_two_standard_errors():
    row = false_positives("x", [0.01] * 30 + [0.5] * 300 + [None] * 70)
    assert row.value == 0.075
    assert row.limit == pytest.approx(0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5, abs=1e-4)
    assert row.ok is False


def test_an_interval_that_could_not_be_told_covers_nothing():
    assert coverage("x", [(0.0, 1.0), (None, None), (0.6, 1.0)], 0.5).value == pytest.approx(1 / 3, abs=1e-4)
    assert share("x", [True, False]).note == "±0.3536, 2 runs"
    assert mean("x", [1.0, 3.0]).note == "±0.7071, 2 runs"


def test_worlds_are_what_they_say():
    rng = np.random.default_rng(0)
    (task,) = scored_tasks(1, 4000, rng, signal=1.0)
    by = {
        outcome: [s for s, p in zip(task.scores, task.passed, strict=True) if p is outcome]
        for outcome in (True, False)
    }
    assert np.mean(by[True]) - np.mean(by[False]) == pytest.approx(1.0, abs=0.1)
    strengths = TRUTHS["one stronger by 3"](9, rng)
    assert strengths.tolist() == [3.0] + [0.0] * 8
    assert len(round_robin(strengths, rng)) == 36
    met = [index for c in ring_with_chords(strengths, rng) for index in (c.first, c.second)]
    assert [met.count(i) for i in range(9)] == [4] * 9
    assert len(successive_halving(strengths, rng)) > 8


def test_the_benchmark_prints_measures_values_and_limits_and_ends_with_0_when_all_are_kept():
    script = [
        sys.executable,
        "scripts/bench_statistics.py",
        "--only",
        "heldout_halves",
        "--runs",
        "40",
        "--json",
    ]
    done = subprocess.run(
        script,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout)
    assert len(rows) == 5
    assert all(set(row) == {"measure", "value", "limit"} and row["value"] <= row["limit"] for row in rows)
