"""Moments of a branch that a fork may start from: where its tests first failed it, where its policy was unsure."""

from __future__ import annotations

import math
import re

from envs.trajectory import Step, Trajectory, Turn

#: Tools that change files by themselves.
EDITS = frozenset({"edit_file", "write_file"})
_TESTS = re.compile(
    r"\b(pytest|unittest|tox|nox|ctest|(npm|yarn|pnpm|cargo|go|mvn|gradle|make|dotnet|bun)\s+(run\s+)?(test|check))\b"
)


def recovery(trajectory: Trajectory, after: int = 0) -> int | None:
    """How many steps there are up to the first failing test run that followed a change, that run included.

    Changes and runs among the first `after` steps are not looked at: they are those of somebody else.

    A test run is the tool `run_tests`, or a command that calls a test runner; it fails by its exit code, or by
    passing a limit. A change is an edit by a tool. None: there is no such run.
    """
    changed = False
    for step in trajectory.steps[after:]:
        if changed and _fails_tests(trajectory, step):
            return step.index + 1
        changed = changed or (step.tool in EDITS and not step.observation.is_error)
    return None


def certainty(trajectory: Trajectory) -> tuple[tuple[int, float], ...]:
    """(steps before it, natural log-probability) of each reply that made a call, where that is known.

    Of a reply in tokens the mean over them, so that long replies do not look unsure for being long; else that
    of the whole action. Nothing is known of a reply without either.
    """
    first: dict[int, int] = {}
    for step in trajectory.steps:
        first.setdefault(step.turn, step.index)
    found = [(first[turn.index], _log_prob(turn)) for turn in trajectory.turns if turn.index in first]
    return tuple((step, log_prob) for step, log_prob in found if log_prob is not None)


def _log_prob(turn: Turn) -> float | None:
    tokens = turn.tokens.logprobs if turn.tokens is not None else None
    known = math.fsum(tokens) / len(tokens) if tokens else turn.log_prob
    return known if known is not None and math.isfinite(known) else None


def _fails_tests(trajectory: Trajectory, step: Step) -> bool:
    seen = step.observation
    if seen.ended in ("", "exited") and seen.exit_code in (None, 0):
        return False
    if step.tool == "run_tests":
        return True
    arguments = trajectory.messages[step.message].tool_calls[step.call].arguments or {}
    command = arguments.get("command")
    return step.tool == "bash" and isinstance(command, str) and bool(_TESTS.search(command[:2000]))
