"""Figures of the modes: tasks are the unit, missing is no fail, checker edits are counted apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repair_support import FRIDAY, NO_COMMA, TASK, constraints, says

from ranking import mean_ci_by_task
from rollouts.records import TaskLayer
from rollouts.repair import ComplianceRecord, run_compliance
from rollouts.repair.statistics import figures


async def record(task: str, mode: Any, reply: Any, *, seed: int = 0) -> ComplianceRecord:
    layer = TaskLayer(task_id=task, digest=task, instruction=TASK)
    policy = says(reply, "no, nothing")
    return await run_compliance(layer, constraints(FRIDAY, NO_COMMA), policy, mode, seed=seed)


async def test_seeds_of_one_task_count_as_one_task():
    records = [await record("a", "direct", "Friday", seed=seed) for seed in range(8)]
    records += [await record("b", "direct", "no day")]
    (direct,) = figures(records).modes
    assert (direct.tasks, direct.records, direct.passes) == (2, 9, 8)
    assert direct.pass_rate.mean == 0.5
    assert (direct.pass_rate.low, direct.pass_rate.high) == mean_ci_by_task([[1.0] * 8, [0.0]])[1:]


async def test_missing_records_are_counted_and_lower_no_rate():
    records = [await record("a", "direct", "Friday"), await record("a", "direct", {"error": "down"}, seed=1)]
    records += [await record("b", "direct", {"error": "down"})]
    (direct,) = figures(records).modes
    assert (direct.tasks, direct.missing, direct.pass_rate.mean) == (1, 2, 1.0)


async def test_modes_are_compared_on_the_tasks_they_share():
    pairs = [
        ("a", "Friday", "Friday"),
        ("b", "no day", "Friday"),
        ("c", "no day", "Friday"),
        ("d", "Friday", "x"),
    ]
    records = [await record(task, "direct", direct) for task, direct, _ in pairs]
    records += [await record(task, "prompt_retry", retry) for task, _, retry in pairs]
    records += [await record("only-here", "prompt_retry", "Friday")]
    (found,) = figures(records).differences
    assert (found.first, found.second, found.tasks) == ("prompt_retry", "direct", 4)
    assert (found.better, found.worse, found.equal) == (2, 1, 1)
    assert found.difference.mean == pytest.approx(0.25)
    low, high = found.difference.low, found.difference.high
    assert low is not None and high is not None and low < 0.0 and high > 0.25


async def test_passes_by_checker_edits_are_counted_apart_and_are_no_passes_of_the_models_own():
    records = [await record(task, "full_pcl", "Friday, all") for task in "abc"]
    records += [await record("d", "full_pcl", "Friday")]
    (found,) = figures(records).modes
    assert (found.passes, found.checker_edit_passes) == (4, 3)
    assert (found.pass_rate.mean, found.own_pass_rate.mean) == (1.0, 0.25)


def test_no_records_have_no_figures():
    assert figures([]).modes == ()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(("Friday", "no")), st.sampled_from(("Friday", "no"))),
        min_size=2,
        max_size=6,
    )
)
async def test_a_difference_lies_in_its_interval_and_within_one(replies):
    records = []
    for number, (one, other) in enumerate(replies):
        records += [
            await record(f"t{number}", "direct", one),
            await record(f"t{number}", "prompt_retry", other),
        ]
    (found,) = figures(records).differences
    low, mean, high = found.difference.low, found.difference.mean, found.difference.high
    assert low is not None and mean is not None and high is not None
    assert -1.0 <= low <= mean <= high <= 1.0
    assert found.better + found.worse + found.equal == len(replies)
