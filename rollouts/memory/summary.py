"""What is worth remembering of a branch: the steps that changed something or tested, and the final diff."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from envs.trajectory import Step, ToolCall, Trajectory

MAX_INSTRUCTION = 4000
MAX_DIFF = 6000
MAX_STEPS = 12
MAX_ARGUMENT = 100
MAX_STEP = 240

#: Tools that look and change nothing. Only asked when the trajectory has no states to compare.
LOOKING = re.compile(r"read|view|list|ls|search|grep|find|cat|open|think|submit", re.IGNORECASE)
_TEST = re.compile(
    r"\b(?:pytest|unittest|tox|ctest|make (?:test|check)|(?:npm|go|cargo) test|run_tests)\b|test\.sh"
)


def key_steps(trajectory: Trajectory, base: str | None = None) -> str:
    """One line per step that changed the state or ran tests: the tool, its arguments in short, what came of it.

    `base` is the digest of the state it began in. The first third and the last two thirds are kept when there are too many.
    """
    lines = [_line(step, call) for step, call, changed in _calls(trajectory, base) if changed or _tests(call)]
    if len(lines) > MAX_STEPS:
        head = MAX_STEPS // 3
        tail = MAX_STEPS - head
        lines = [*lines[:head], f"({len(lines) - MAX_STEPS} steps left out)", *lines[-tail:]]
    return "\n".join(lines)


def shorten(text: str, limit: int) -> str:
    """Head and tail of a text, at most about `limit` characters, with a note of what is gone."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"


def _calls(trajectory: Trajectory, state: str | None) -> Iterator[tuple[Step, ToolCall, bool]]:
    """Every step with its call and whether it changed the state."""
    has_states = any(step.state for step in trajectory.steps)
    for step in trajectory.steps:
        call = trajectory.messages[step.message].tool_calls[step.call]
        if has_states:
            changed = step.state is not None and step.state != state
            state = step.state or state
        else:
            changed = not LOOKING.match(call.name)
        yield step, call, changed and not step.observation.is_error and call.name != "submit"


def _tests(call: ToolCall) -> bool:
    return "test" in call.name or bool(_TEST.search(json.dumps(call.arguments or {}, ensure_ascii=False)))


def _line(step: Step, call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in (call.arguments or {}).items())
    code = step.observation.exit_code
    outcome = "" if code is None else f" -> exit {code}"
    return f"{call.name}({arguments})"[:MAX_STEP] + outcome


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_ARGUMENT else f"{text[: MAX_ARGUMENT - 3]}..."
