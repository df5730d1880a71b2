"""Supervised fine-tuning: whole conversations of solved branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..errors import ConfigError
from ..records import BranchRecord
from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, tools, unwritable

FORMS = ("messages", "prompt_completion")


class Sft:
    """One row for each solved branch, in a shape TRL's SFTTrainer takes.

    `form` "messages": {"messages", "tools", ...}, the whole conversation. `prompt_messages` says how many of the
    messages were given to the branch (for a fork: its parent's part too).

    `form` "prompt_completion": {"prompt", "completion", "tools", ...}. The completion is what no earlier row of the
    rollout has as completion already, so a shared prefix is learnt from once; where the parent did not solve the
    task, its first solved fork brings it. Of that form SFTTrainer learns from the completion alone, and with
    `assistant_only_loss` from the policy's own words in it.
    """

    name = "sft"
    formats = TABLES
    columns: Mapping[str, Column] = {**ORIGIN, "reward": "float", "prompt_messages": "int"}

    def __init__(self, form: str = "messages") -> None:
        if form not in FORMS:
            raise ConfigError(f"export sft: form {form!r} is unknown; known: {', '.join(FORMS)}")
        self.form = form

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        taught = _Taught()
        for admitted in rollout:
            trajectory, result = admitted.record.trajectory, admitted.record.result
            start = opening(trajectory)
            if self.form == "prompt_completion":
                start = taught.of(admitted.record)
            if result.ending != "solved":
                excluded["not_solved"] += 1
            elif reason := unwritable(trajectory.messages) or unwritable(trajectory.messages[start:]):
                excluded[reason] += 1
            else:
                taught.add(admitted.record)
                messages = [message.openai() for message in trajectory.messages]
                whole = {"messages": messages}
                parts = {"prompt": messages[:start], "completion": messages[start:]}
                yield {
                    **(whole if self.form == "messages" else parts),
                    "tools": tools(trajectory),
                    "reward": result.reward,
                    "prompt_messages": start,
                    **origin(admitted),
                }


class _Taught:
    """How many messages at the start of each conversation are in the completions written so far."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._joins: dict[str, tuple[str | None, int]] = {}  # branch -> (parent, messages shared with it)

    def of(self, record: BranchRecord) -> int:
        """The first message of a branch that no completion holds; parents come before their forks."""
        branch, parent = record.lineage.branch_id, record.lineage.parent
        trajectory = record.trajectory
        shared = trajectory.prefix_messages
        first = next((i for i, m in enumerate(trajectory.messages) if m.role == "assistant"), shared)
        self._joins[branch] = (parent, shared)
        self._known[branch] = max(first, min(shared, self._known.get(parent or "", first)))
        return self._known[branch]

    def add(self, record: BranchRecord) -> None:
        """A branch was written: all of it is taught, and so is what its forebears share with it."""
        branch: str | None = record.lineage.branch_id
        count = len(record.trajectory.messages)
        while branch in self._joins:
            self._known[branch] = max(self._known[branch], count)
            branch, shared = self._joins[branch]
            count = min(count, shared)
