"""A shared prefix is stored once: the line of a forked branch holds what it did itself.

The steps it shares with its parent stand in the parent's line. Such a line has `"shared"` in its trajectory, a digest
of the shared messages; `split` makes it and `joined` undoes it, to the same record and to no other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from pydantic_core import from_json

from envs.lineage import cut
from envs.trajectory import Trajectory

from ..records import BranchRecord
from .jsonl import dump_json

#: The mark of a trajectory without its prefix.
MARK = "shared"


def split(record: BranchRecord, parent: BranchRecord) -> tuple[BranchRecord, str] | None:
    """The record without what it shares with its parent, and the digest of that; None when its prefix is not
    just the parent's."""
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
    return record.model_copy(update={"trajectory": own}), _digest(prefix)


def joined(line: bytes, parent: BranchRecord) -> BranchRecord:
    """The whole record of a line made by `split`. Raises `ValueError` when this is not the parent it was forked from."""
    data: dict[str, Any] = from_json(line)
    digest = data["trajectory"].pop(MARK, "")
    record = BranchRecord.model_validate(data)
    own, prefix = record.trajectory, cut(parent.trajectory, record.lineage.fork_step)
    if _digest(prefix) != digest:
        raise ValueError(f"was forked from another {record.lineage.parent} than the one that is there")
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


def _digest(prefix: Trajectory) -> str:
    said = [message.openai() for message in prefix.messages]
    return sha256(dump_json([said, [step.state for step in prefix.steps]])).hexdigest()


def _begins(whole: Trajectory, prefix: Trajectory) -> bool:
    return (
        (whole.prefix_steps, whole.prefix_messages) == (prefix.prefix_steps, prefix.prefix_messages)
        and whole.tools == prefix.tools
        and whole.messages[: len(prefix.messages)] == prefix.messages
        and whole.turns[: len(prefix.turns)] == prefix.turns
        and whole.steps[: len(prefix.steps)] == prefix.steps
        and whole.events[: len(prefix.events)] == prefix.events
    )
