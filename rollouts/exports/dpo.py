"""Preference pairs: a solved branch against a failed one that started from exactly the same point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from envs.trajectory import Message

from ..store import dump_json
from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, tools, unwritable


@dataclass(frozen=True)
class _Side:
    """What a pair needs of a branch; the rest of its record is let go."""

    branch_id: str
    reward: float | None
    completion: list[dict[str, Any]]
    said: bytes  #: digest of what the policy itself said


@dataclass
class _ForkPoint:
    """The branches that continue one and the same conversation."""

    prompt: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    origin: Row
    solved: list[_Side] = field(default_factory=list)
    failed: list[_Side] = field(default_factory=list)


class Dpo:
    """{"prompt", "chosen", "rejected", "tools", ...} in the shape TRL's DPOTrainer takes.

    Chosen ended as solved, rejected has an explicit fail; both share rollout, parent, fork step, prompt
    messages and tools, and did not say the same. Of many pairs at one fork point the first
    `max_pairs` are written, in an order that uses every branch before it uses one again.
    """

    name = "dpo"
    formats = TABLES
    columns: Mapping[str, Column] = {
        **{name: kind for name, kind in ORIGIN.items() if name not in ("branch_id", "temperature", "ending")},
        "chosen_branch": "string",
        "rejected_branch": "string",
        "chosen_reward": "float",
        "rejected_reward": "float",
    }

    def __init__(self, max_pairs: int = 64) -> None:
        self.max_pairs = max_pairs

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for point in self._fork_points(rollout, excluded):
            if not (point.solved and point.failed):
                excluded["no_opposite_at_fork_point"] += len(point.solved) + len(point.failed)
            yield from self._pairs(point, excluded)

    def _fork_points(self, rollout: Rollout, excluded: Counter[str]) -> list[_ForkPoint]:
        points: dict[tuple[str, str | None, int, bytes], _ForkPoint] = {}
        for admitted in rollout:
            record = admitted.record
            start = opening(record.trajectory)
            completion = record.trajectory.messages[start:]
            verdict = record.result.verdict
            solved = record.result.ending == "solved"
            if not solved and (verdict is None or verdict.outcome != "fail"):
                excluded["truncated_without_a_fail"] += 1
            elif reason := unwritable(completion):
                excluded[reason] += 1
            else:
                prompt = [message.openai() for message in record.trajectory.messages[:start]]
                offered = tools(record.trajectory)
                same = sha256(dump_json([prompt, offered])).digest()
                key = (record.task.digest, record.lineage.parent, record.lineage.fork_step, same)
                point = points.setdefault(key, _ForkPoint(prompt, offered, origin(admitted)))
                side = _Side(
                    record.lineage.branch_id,
                    record.result.reward,
                    [message.openai() for message in completion],
                    _said(completion),
                )
                (point.solved if solved else point.failed).append(side)
        return list(points.values())

    def _pairs(self, point: _ForkPoint, excluded: Counter[str]) -> Iterator[Row]:
        written = 0
        for chosen, rejected in _spread(point.solved, point.failed):
            if chosen.said == rejected.said:
                excluded["identical_pair"] += 1
            elif written == self.max_pairs:
                excluded["pair_over_limit"] += 1
            else:
                written += 1
                where = {name: point.origin[name] for name in self.columns if name in point.origin}
                yield {
                    "prompt": point.prompt,
                    "chosen": chosen.completion,
                    "rejected": rejected.completion,
                    "tools": point.tools,
                    "chosen_branch": chosen.branch_id,
                    "rejected_branch": rejected.branch_id,
                    "chosen_reward": chosen.reward,
                    "rejected_reward": rejected.reward,
                    **where,
                }


def _spread(solved: list[_Side], failed: list[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """All pairs. Each round takes every branch of the larger side once, and of the smaller side evenly."""
    larger, smaller = (solved, failed) if len(solved) >= len(failed) else (failed, solved)
    for shift in range(len(smaller)):
        for i, one in enumerate(larger):
            other = smaller[(i + shift) % len(smaller)]
            yield (one, other) if larger is solved else (other, one)


def _said(completion: list[Message]) -> bytes:
    """The policy's own words and calls, without the calls' ids, which differ in any case."""
    said = [
        (message.content, [(call.name, call.arguments) for call in message.tool_calls])
        for message in completion
        if message.role == "assistant"
    ]
    return sha256(dump_json(said)).digest()
