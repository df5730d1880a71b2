"""The gate: what a record must be before it may become memory or training data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass
from types import MappingProxyType
from typing import Final, Literal

from ..records import BranchRecord
from ..store import dump_json, without_surrogates
from .injection import instruction_like, may_give_orders
from .redact import Redactor, suspicious

Split = Literal["train", "evaluation"]
Purpose = Literal["training", "evaluation"]

#: Marks kept per record; a text that is all orders is known after the first few.
MAX_MARKS = 20

_KEY: Final = object()


@dataclass(frozen=True)
class Mark:
    """A passage that reads like an order to a model."""

    where: str  #: "instruction", "diff", "answer", or "message 7"
    kind: str


@dataclass(frozen=True)
class Admitted:
    """A record the gate has let through: redacted, marked, with its split. Only a `Gate` can make one."""

    record: BranchRecord
    split: Split
    purpose: Purpose
    redactions: Mapping[str, int]  #: secrets replaced, by kind
    marks: tuple[Mark, ...]
    #: Not stored, so that `dataclasses.replace` cannot put another record under an old admission.
    _key: InitVar[object] = None

    def __post_init__(self, _key: object) -> None:
        if _key is not _KEY:
            raise TypeError("an Admitted is made by Gate.admit and by nothing else")

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an Admitted stays in its process; admit the record where it is used")


@dataclass(frozen=True)
class Refused:
    """A record that stays out, and why."""

    key: tuple[str, str]
    reason: str  #: a short word for counting
    detail: str = ""


@dataclass(frozen=True)
class GatePolicy:
    """What the gate lets through."""

    purpose: Purpose = "training"
    evaluation: frozenset[str] = frozenset()  #: task ids, digests or groups held out from training
    salt: str = ""  #: of the placeholders; two gates with one salt write the same ones


class Gate:
    """Admits or refuses records, one at a time. Holds no state, so it can be shared."""

    def __init__(self, policy: GatePolicy | None = None) -> None:
        self.policy = policy or GatePolicy()
        self._redactor = Redactor(self.policy.salt)

    def admit(self, record: BranchRecord) -> Admitted | Refused:
        """The record as memory and exports may see it, or the reason why they may not."""
        split: Split = "evaluation" if self._held_out(record) else "train"
        if refusal := self._refusal(record, split):
            return Refused(record.key, *refusal)
        data = dump_json(record)
        small = data.lower()
        clean, counts = self._redacted(record, suspicious(data, small))
        return Admitted(
            record=clean,
            split=split,
            purpose=self.policy.purpose,
            redactions=MappingProxyType(dict(counts)),
            marks=_marks(clean) if may_give_orders(small) else (),
            _key=_KEY,
        )

    def _held_out(self, record: BranchRecord) -> bool:
        task = record.task
        return not self.policy.evaluation.isdisjoint({task.task_id, task.digest, task.group} - {""})

    def _refusal(self, record: BranchRecord, split: Split) -> tuple[str, str] | None:
        result = record.result
        if record.missing:
            return f"missing_{result.ending}", result.error[:200]
        if result.verdict is None:
            return "no_verdict", ""
        if result.verdict.outcome == "unknown":
            return "verdict_unknown", result.verdict.reason[:200]
        if (result.ending == "solved") > result.verdict.passed or (
            result.ending == "failed" and result.verdict.passed
        ):
            return "contradiction", f"ended as {result.ending}, but the verdict is {result.verdict.outcome}"
        reward = result.reward
        if reward is not None and not (math.isfinite(reward) and 0.0 <= reward <= 1.0):
            return "reward_out_of_range", str(reward)
        if split == "evaluation" and self.policy.purpose == "training":
            return "held_out", f"task {record.task.task_id} is in the evaluation split"
        return None

    def _redacted(self, record: BranchRecord, suspect: bool) -> tuple[BranchRecord, Counter[str]]:
        """A copy without secrets. One that had any loses its token data, which spell the secrets out."""
        counts: Counter[str] = Counter()
        if suspect:
            data = record.model_dump()
            clean = self._redactor.value(data, counts)
            if counts:
                changed = [m != c for m, c in zip(data_messages(data), data_messages(clean), strict=True)]
                for turn in clean["trajectory"]["turns"]:
                    turn["tokens"] = None
                    if changed[turn["message"]]:
                        turn["log_prob"] = None
                for step in clean["trajectory"]["steps"]:
                    if changed[step["message"]]:
                        step["log_prob"] = None
                return BranchRecord.model_validate(without_surrogates(clean)), counts
        # A copy of the containers: what happens to the caller's record later does not reach what was admitted.
        t = record.trajectory
        copied = t.model_copy(
            update={
                "messages": list(t.messages),
                "turns": list(t.turns),
                "steps": list(t.steps),
                "events": list(t.events),
            }
        )
        return record.model_copy(update={"trajectory": copied}), counts


def data_messages(data: dict[str, dict[str, list[object]]]) -> list[object]:
    """The messages of a dumped record, in comparable form."""
    return [dump_json(message) for message in data["trajectory"]["messages"]]


def _marks(record: BranchRecord) -> tuple[Mark, ...]:
    found: list[Mark] = []
    for where, text in _untrusted(record):
        found += [Mark(where, kind) for kind in instruction_like(text)]
        if len(found) >= MAX_MARKS:
            break
    return tuple(found[:MAX_MARKS])


def _untrusted(record: BranchRecord) -> Iterator[tuple[str, str]]:
    """The texts somebody else wrote. The system prompt and the user turns' frame are ours."""
    yield "instruction", record.task.instruction
    for index, message in enumerate(record.trajectory.messages):
        if message.role in ("assistant", "tool"):
            yield f"message {index}", message.content
    yield "diff", record.result.diff
    yield "answer", record.trajectory.answer or ""
