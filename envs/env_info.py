"""What the gymnasium env tells besides observation and reward: always the same keys, with the same types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .attempt import Attempt
from .trajectory import Ending


def info_of(attempt: Attempt | None, parts: Sequence[str], failed: str, task_id: str = "") -> dict[str, Any]:
    """The info of the present moment. `parts` names the verifier's parts, `failed` says what the machinery
    failed of, `task_id` is told where there is no attempt. The keys are described in `CodeTaskEnv`."""
    last = None if attempt is None else attempt.last
    verdict = None if attempt is None else attempt.verdict
    code = None if last is None else last.exit_code
    return {
        "task_id": task_id if attempt is None else attempt.episode.task.id,
        "steps": 0 if attempt is None else attempt.steps,
        "ending": _ending(attempt, failed),
        "stop": "failure" if failed else "" if attempt is None else attempt.stop,
        "missing": bool(failed),
        "solved": verdict is not None and verdict.passed and not failed,
        "reward_components": _components(attempt, parts, failed),
        "tool_error": last is not None and last.is_error,
        "exit_code": -1 if code is None else code,
        "state": "" if attempt is None else attempt.state,
        "reason": failed or ("" if verdict is None else verdict.reason),
    }


def lost(info: dict[str, Any], reason: str) -> dict[str, Any]:
    """The info of an env whose process died after it had told `info`."""
    parts = tuple(info["reward_components"])
    kept = {"task_id": info["task_id"], "steps": info["steps"]}
    return {**info_of(None, parts, reason), **kept}


def rendered(attempt: Attempt, info: dict[str, Any]) -> str:
    """The last call, what came of it, and how the episode stands, for a terminal. Untrusted text, made harmless."""
    trajectory = attempt.episode.trajectory
    call = ""
    if trajectory.turns:
        said = trajectory.messages[trajectory.turns[-1].message]
        call = " ".join(
            f"{c.name} {c.arguments if c.arguments is not None else c.raw}" for c in said.tool_calls
        )
        call = call or said.content
    stands = info["ending"] or "going on"
    head = f"task {info['task_id']}, step {info['steps']} of {attempt.terms.max_steps}: {stands}"
    lines = [head, *([f"> {call[:500]}"] if call else []), attempt.last.text]
    return "\n".join(_printable(line) for line in lines)


def _ending(attempt: Attempt | None, failed: str) -> Ending | str:
    if failed:
        return "infra_error"
    if attempt is None or attempt.verdict is None:
        return ""
    if attempt.stop != "submitted":
        return "truncated"
    return "solved" if attempt.verdict.passed else "failed"


def _components(attempt: Attempt | None, parts: Sequence[str], failed: str) -> dict[str, float]:
    verdict = None if attempt is None else attempt.verdict
    if failed or verdict is None:
        return dict.fromkeys(parts, math.nan if failed else 0.0)
    verdicts = {each.verifier: each.score for each in (*verdict.parts, verdict)}
    scores = {name: verdicts.get(name) for name in parts}
    return {name: math.nan if score is None else score for name, score in scores.items()}


def _printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
