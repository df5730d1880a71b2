"""Small constraint sets and policies for the tests of compliance repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from envs.trajectory import Message
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import Sampling
from verifiers.constraints import ConstraintSet, read_constraints

TASK = "Write a short note to the neighbours about the party on Friday."


def constraint(
    name: str, method: str, level: str = "hard", priority: int = 100, **args: Any
) -> dict[str, Any]:
    return {"id": name, "method": method, "level": level, "priority": priority, "args": args}


SHORT = constraint("short", "length_constraints:number_words", num_words=12, relation="less than")
LONG = constraint("long", "length_constraints:number_words", num_words=500, relation="at least")
FRIDAY = constraint("friday", "keywords:existence", keywords=["Friday"])
NO_COMMA = constraint("no-comma", "punctuation:no_comma")
TITLE = constraint("title", "detectable_format:title")
CALM = constraint("calm", "keywords:forbidden_words", forbidden_words=["urgent"])


def constraints(*tables: dict[str, Any]) -> ConstraintSet:
    return read_constraints(tables)


def soft(table: dict[str, Any]) -> dict[str, Any]:
    return {**table, "level": "soft"}


def says(*replies: Any, seen: list[tuple[Sequence[Message], Sampling]] | None = None) -> ScriptedPolicy:
    """Says one thing after the other, whatever it is asked; the last one again and again."""
    count = 0

    def script(messages: Sequence[Message], sampling: Sampling) -> Any:
        nonlocal count
        if seen is not None:
            seen.append((messages, sampling))
        said = replies[min(count, len(replies) - 1)]
        count += 1
        return said(messages, sampling) if isinstance(said, Callable) else said  # type: ignore[arg-type]

    return ScriptedPolicy.of(script)
