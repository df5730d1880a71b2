"""Moments a fork may start from: the first failure of a change, the replies nobody was sure of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from envs.trajectory import TokenRecord
from rollouts.moments import certainty, recovery
from rollouts.records import BranchRecord

Make = Callable[..., BranchRecord]
EDIT = ("edit_file", {"path": "cart.py", "old": "1", "new": "2"}, "edited", None, True)
RED, GREEN = (("run_tests", {}, text, code, False) for text, code in (("1 failed", 1), ("3 passed", 0)))


def bash(command: str, code: int | None) -> tuple[str, dict[str, str], str, int | None, bool]:
    return "bash", {"command": command}, "output", code, False


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        ([RED, EDIT, RED, EDIT, RED], 3),
        ([RED, RED], None),  # nothing was changed: that is the task
        ([EDIT, GREEN, RED], 3),
        ([EDIT, GREEN], None),
        ([EDIT, bash("cd x && python -m pytest -q", 1), RED], 2),
        ([EDIT, bash("npm run test", 2)], 2),
        ([EDIT, bash("ls missing", 2)], None),
        ([EDIT, bash("grep pytest .", 0)], None),
    ],
)
def test_the_recovery_moment_is_after_the_first_test_run_that_fails_a_change(
    make_record: Make, actions: list[tuple[object, ...]], found: int | None
) -> None:
    assert recovery(make_record(0, actions=tuple(actions)).trajectory) == found


def test_an_edit_that_was_refused_is_no_change(make_record: Make) -> None:
    record = make_record(0, actions=(EDIT, RED))
    steps = record.trajectory.steps
    steps[0] = steps[0].model_copy(
        update={"observation": steps[0].observation.model_copy(update={"is_error": True})}
    )
    assert recovery(record.trajectory) is None


def test_a_test_run_that_passes_a_limit_has_failed(make_record: Make) -> None:
    record = make_record(0, actions=(EDIT, RED))
    steps = record.trajectory.steps
    seen = steps[1].observation.model_copy(update={"exit_code": None, "ended": "timeout"})
    steps[1] = steps[1].model_copy(update={"observation": seen})
    assert recovery(record.trajectory) == 2


def test_certainty_is_the_mean_over_tokens_where_there_are_any(make_record: Make) -> None:
    """Else that of the action; nothing where neither is known."""
    trajectory = make_record(0).trajectory
    values = [
        {"log_prob": -0.5, "tokens": None},
        {"log_prob": -9.0, "tokens": TokenRecord(completion_ids=[1, 2], logprobs=[-1.0, -3.0])},
        {"log_prob": None, "tokens": TokenRecord(completion_ids=[1, 2])},
        {"log_prob": float("-inf"), "tokens": None},
        {"log_prob": 0.0, "tokens": None},
    ]
    trajectory.turns = [t.model_copy(update=v) for t, v in zip(trajectory.turns, values, strict=True)]
    assert certainty(trajectory) == ((0, -0.5), (1, -2.0), (4, 0.0))
