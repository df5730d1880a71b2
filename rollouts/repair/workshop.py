"""One compliance run in the making: asks the policy, checks every text whole, keeps or rolls back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from envs.trajectory import Message, storable
from verifiers.constraints import Artifact, Compliance, ConstraintSet, evaluate_async

from ..errors import ConfigError, PolicyError
from ..policies import Policy, PolicyReply
from ..records import Sampling
from .records import Attempt, Way

#: How a new text is judged against the one that stands: "best" keeps whatever is better as a whole,
#: "no_regression" only what mends something and breaks nothing.
Rule = Literal["best", "no_regression"]


class RepairSettings(BaseModel):
    """What a compliance run may spend and do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(default=3, ge=0, le=100)  #: replies of the policy after the first one
    tokens: int | None = Field(default=None, ge=1)  #: input and output of all replies together
    seconds: float | None = Field(default=None, gt=0)
    soft: bool = True  #: go on for soft constraints when the hard ones hold
    patches: bool = True  #: allow string edits that only please the checker (`full_pcl`); always marked
    sampling: Sampling = Sampling()  #: its seed is replaced: each attempt has one of its own


@dataclass
class Workshop:
    """The state of a run. `current` is the attempt that stands."""

    prompt: str
    constraints: ConstraintSet
    policy: Policy
    settings: RepairSettings
    seed: int | None
    attempts: list[Attempt] = field(default_factory=list)
    current: int | None = None
    found: Compliance | None = None  #: of the current attempt
    stop: str = ""
    error: str = ""  #: of an endpoint that failed
    calls: int = 0  #: replies asked for
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        check_one_text(self.constraints)

    @property
    def text(self) -> str:
        """The text that stands."""
        return "" if self.current is None else self.attempts[self.current].artifact

    @property
    def done(self) -> bool:
        """Whether to go no further: something ended it, or nothing is left to mend."""
        return bool(self.stop) or not self.open_violations()

    def open_violations(self) -> list[str]:
        """Ids of what is still to be mended, most urgent first."""
        if self.found is None:
            return []
        every = self.settings.soft or self.found.empty
        return [c.id for c, _ in self.found.violations if every or c.level == "hard"]

    async def ask(
        self,
        way: Way,
        messages: Sequence[Message],
        *,
        targets: Sequence[str] = (),
        rule: Rule = "best",
        compose: Callable[[str], str] = str,
    ) -> None:
        """One reply of the policy as a new attempt; `compose` makes the whole text of what it said.

        A failed endpoint and a budget that ran out are in `stop`; the attempt is kept in the list all the same.
        """
        if self._over_budget():
            return
        sampling = self.settings.sampling.model_copy(update={"seed": self._seed()})
        began = time.monotonic()
        self.calls += 1
        draft = Attempt(
            index=len(self.attempts),
            parent=self.current,
            strategy=way,
            targets=tuple(targets),
            messages=tuple(messages),
            sampling=sampling,
            checker_edit=self.current is not None and self.attempts[self.current].checker_edit,
        )
        try:
            async with asyncio.timeout(self._left()) as clock:
                reply = await self.policy.act(draft.messages, (), sampling)
        except PolicyError as error:
            self.stop, self.error = "error", f"{error.kind}: {error}"[:2000]
            self.attempts.append(_failed(draft, self.error, began))
            return
        except TimeoutError:
            if not clock.expired():
                raise
            self.stop = "seconds"
            self.attempts.append(_failed(draft, "seconds", began))
            return
        said = _said(draft, reply, began)
        await self._judge(said, compose(reply.message.content), rule)
        if reply.finish == "context_overflow":
            self.stop = "context"

    async def edit(self, text: str, target: str) -> None:
        """A string edit as a new attempt; it costs no round."""
        draft = Attempt(
            index=len(self.attempts),
            parent=self.current,
            strategy="patch",
            targets=(target,),
            checker_edit=True,
        )
        await self._judge(draft, text, "no_regression")

    async def _judge(self, draft: Attempt, text: str, rule: Rule) -> None:
        """Check everything again, then keep the text or go back to the one before."""
        path = self.constraints.constraints[0].path
        text = storable(text)
        found = await evaluate_async(self.constraints, {path: Artifact.of(text)})
        kept, why = _verdict(self.found, found, self.text, text, rule)
        self.attempts.append(
            draft.model_copy(
                update={
                    "artifact": text,
                    "results": found.results,
                    "passed": found.passed,
                    "undecided": found.undecided,
                    "score": found.score,
                    "kept": kept,
                    "why": why,
                }
            )
        )
        if kept:
            self.current, self.found = draft.index, found

    def _seed(self) -> int | None:
        return None if self.seed is None else self.seed + self.calls

    def _left(self) -> float | None:
        seconds = self.settings.seconds
        return None if seconds is None else max(0.0, seconds - (time.monotonic() - self.began))

    def _over_budget(self) -> bool:
        if self._left() == 0.0:
            self.stop = "seconds"
        elif self.settings.tokens is not None and self._spent() >= self.settings.tokens:
            self.stop = "tokens"
        elif self.calls > self.settings.rounds:
            self.stop = "rounds"
        return bool(self.stop)

    def _spent(self) -> int:
        return sum((a.usage.input_tokens or 0) + (a.usage.output_tokens or 0) for a in self.attempts)


def check_one_text(constraints: ConstraintSet) -> None:
    """Raises `ConfigError` when constraints are about more than one text."""
    paths = sorted({c.path or "the answer" for c in constraints.constraints})
    if len(paths) > 1:
        raise ConfigError(
            f"constraints speak of {len(paths)} texts ({', '.join(paths)}); a compliance run writes one"
        )


def _said(draft: Attempt, reply: PolicyReply, began: float) -> Attempt:
    return draft.model_copy(
        update={
            "reply": reply.message,
            "effective": reply.effective,
            "finish": reply.finish,
            "usage": reply.usage,
            "log_prob": reply.log_prob,
            "tokens": reply.tokens,
            "seconds": time.monotonic() - began,
        }
    )


def _failed(draft: Attempt, error: str, began: float) -> Attempt:
    return draft.model_copy(
        update={"error": error, "why": "there was no reply", "seconds": time.monotonic() - began}
    )


def _verdict(
    before: Compliance | None, after: Compliance, old: str, new: str, rule: Rule
) -> tuple[bool, str]:
    """(whether to keep the new text, why)."""
    if before is None:
        return True, "the first text"
    if old == new:
        return False, "rolled back: nothing changed"
    held = {r.id for r in before.results if r.outcome == "pass"}
    holds = {r.id for r in after.results if r.outcome == "pass"}
    mended, broke = sorted(holds - held), sorted(held - holds)
    if rule == "best":
        better = _rank(after) > _rank(before)
        return better, "better than the text before" if better else "rolled back: no better as a whole"
    if broke:
        return False, f"rolled back: it broke {', '.join(broke)}"
    if before.empty and not after.empty:
        return True, "there is a text now"
    if not mended:
        return False, "rolled back: it mended nothing"
    return True, f"mended {', '.join(mended)}"


def _rank(found: Compliance) -> tuple[bool, int, float]:
    """More is better: any text first, then fewer hard violations, then the score."""
    return (
        not found.empty,
        -sum(constraint.level == "hard" for constraint, _ in found.violations),
        found.score,
    )
