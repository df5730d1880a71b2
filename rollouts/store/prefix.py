"""A shared prefix is stored once: the line of a forked branch holds what it did itself.

The steps it shares with its parent stand in the parent's line. Such a line says `"shared": true` in its
trajectory; `split` makes it and `joined` undoes it, to the same record.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from envs.lineage import cut
from envs.trajectory import Trajectory

from ..records import BranchRecord

#: The mark of a trajectory without its prefix.
MARK = "shared"


def split(record: BranchRecord, parent: BranchRecord) -> BranchRecord | None:
    """The record without what it shares with its parent; None when its prefix is not just the parent's."""
    whole = record.trajectory
    if not 0 < record.lineage.fork_step <= len(parent.trajectory.steps):
        return None
    prefix = cut(parent.trajectory, record.lineage.fork_step)
    if not _begins(whole, prefix):
        return None
    own = whole.model_copy(
        update={
            "messages": whole.messages[len(prefix.messages) :],
            "turns": whole.turns[len(prefix.turns) :],
            "steps": whole.steps[len(prefix.steps) :],
            "events": whole.events[len(prefix.events) :],
            "tools": [],
        }
    )
    return record.model_copy(update={"trajectory": own})


def joined(line: bytes, parent: BranchRecord) -> BranchRecord:
    """The whole record of a line made by `split`. Raises `ValueError` when the parent is too short for it."""
    data: dict[str, Any] = from_json(line)
    data["trajectory"].pop(MARK, None)
    record = BranchRecord.model_validate(data)
    own, prefix = record.trajectory, cut(parent.trajectory, record.lineage.fork_step)
    record.trajectory = own.model_copy(
        update={
            "messages": prefix.messages + own.messages,
            "turns": prefix.turns + own.turns,
            "steps": prefix.steps + own.steps,
            "events": prefix.events + own.events,
            "tools": prefix.tools,
        }
    )
    return record


def _begins(whole: Trajectory, prefix: Trajectory) -> bool:
    return (
        (whole.prefix_steps, whole.prefix_messages) == (prefix.prefix_steps, prefix.prefix_messages)
        and whole.tools == prefix.tools
        and whole.messages[: len(prefix.messages)] == prefix.messages
        and whole.turns[: len(prefix.turns)] == prefix.turns
        and whole.steps[: len(prefix.steps)] == prefix.steps
        and whole.events[: len(prefix.events)] == prefix.events
    )
