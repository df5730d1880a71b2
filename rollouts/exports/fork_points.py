"""Where branches of one rollout part: the same conversation, gone on with in different ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from envs.trajectory import Message

from ..governance import Admitted
from ..store import dump_json
from .exporter import Row
from .rollout import Rollout
from .shape import opening, origin, tools, unwritable

T = TypeVar("T")


@dataclass(frozen=True)
class Side:
    """One of the ways from a fork point to a branch's end."""

    branch_id: str
    solved: bool | None  #: False: an explicit fail; None: it ended without one
    reward: float | None
    value: float | None  #: mean reward of all branches that went on this way, up to the next fork
    through: int  #: how many branches that is
    completion: list[Message]

    @property
    def said(self) -> bytes:
        """Digest of what the policy itself said: its words and calls, without the calls' ids."""
        return said(self.completion)


@dataclass
class ForkPoint:
    """The branches that go on with one and the same conversation, by index."""

    prompt: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    origin: Row
    sides: list[Side] = field(default_factory=list)


def fork_points(rollout: Rollout, excluded: Counter[str]) -> list[ForkPoint]:
    """All places where admitted branches part: the task's prepared state, and every fork.

    At a fork the branch that was forked goes on as well, so it is one of the sides; not so where the fork cut
    through one of its replies (`fork_inside_a_reply`), for then the conversations differ.
    """
    branches = {each.record.lineage.branch_id: each for each in rollout}
    points: dict[tuple[str | None, int, bytes], ForkPoint] = {}
    for name, admitted in branches.items():
        record = admitted.record
        start = opening(record.trajectory)
        above, step = rollout.credit.fork_of(name)
        prompt = [message.openai() for message in record.trajectory.messages[:start]]
        offered = tools(record.trajectory)
        same = sha256(dump_json([record.task.digest, prompt, offered])).digest()
        known = points.get((above, step, same))
        if known is None:
            known = points[above, step, same] = ForkPoint(prompt, offered, origin(admitted))
            if above in branches:
                own = branches[above].record.trajectory.messages
                if own[:start] == record.trajectory.messages[:start]:
                    _add(known, branches[above], start, step, rollout, excluded)
                else:
                    excluded["fork_inside_a_reply"] += 1
        _add(known, admitted, start, step, rollout, excluded)
    return list(points.values())


def spread(first: list[T], second: list[T]) -> Iterator[tuple[T, T]]:
    """All pairs. Each round takes every one of the longer list once, and of the shorter one evenly."""
    for shift in range(min(len(first), len(second))):
        for i in range(max(len(first), len(second))):
            if len(first) >= len(second):
                yield first[i], second[(i + shift) % len(second)]
            else:
                yield first[(i + shift) % len(first)], second[i]


def said(messages: Iterable[Message]) -> bytes:
    """Digest of the policy's own words and calls, without the calls' ids, which differ in any case."""
    words = [
        (message.content, [(call.name, call.arguments) for call in message.tool_calls])
        for message in messages
        if message.role == "assistant"
    ]
    return sha256(dump_json(words)).digest()


def _add(
    point: ForkPoint, admitted: Admitted, start: int, step: int, rollout: Rollout, excluded: Counter[str]
) -> None:
    record = admitted.record
    completion = record.trajectory.messages[start:]
    if reason := unwritable(completion):
        excluded[reason] += 1
        return
    verdict, branch = record.result.verdict, record.lineage.branch_id
    failed = False if verdict is not None and verdict.outcome == "fail" else None
    solved = True if record.result.ending == "solved" else failed
    value, through = rollout.credit.value(branch, step)
    point.sides.append(Side(branch, solved, record.result.reward, value, through, completion))
