"""A model as a judge: which of two works is better, and how good one is.

Pairs are always asked in both orders, and a judge that changes its mind with the order has said "tie". An answer
that is not what was asked for is *invalid*: it is no vote. Equal questions are asked once. Calls, tokens and cost
of all questions together are bounded, and so is how many run at once.

The model is a callable, `Ask`; whoever calls it raises `JudgeFailed` when there is no answer.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from .errors import VerifierError
from .judge_prompt import (
    RUBRIC,
    TOP_SCORE,
    InvalidAnswer,
    Prompt,
    Winner,
    Work,
    pairwise_prompt,
    pointwise_prompt,
    read_preference,
    read_scores,
)

T = TypeVar("T")

#: Why there is no vote: the answer was not what was asked for; the model took too long, refused, or did not
#: answer; the budget is spent.
Cause = Literal["", "invalid_answer", "timeout", "refusal", "unavailable", "budget"]


class JudgeFailed(Exception):
    """The model gave no answer."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause: Cause = cause


@dataclass(frozen=True)
class JudgeReply:
    """What the model wrote, and what it cost. None: the endpoint did not say."""

    text: str
    tokens: int | None = None  #: input and output together
    cost_usd: float | None = None


#: Asks the model once. The number is the sample, from 0: other numbers may be answered otherwise.
Ask = Callable[[Prompt, int], Awaitable[JudgeReply]]


class AnswerCache(Protocol):
    """Answers by question, and what was asked. Only answers are kept, never failures."""

    def asked(self, key: str) -> None:
        """A call is about to be made, and is paid for whatever becomes of it."""
        ...

    def get(self, key: str) -> JudgeReply | None:
        """The answer to a question that was asked before."""
        ...

    def put(self, key: str, reply: JudgeReply) -> None:
        """Keep one."""
        ...


@dataclass(frozen=True)
class JudgeBudget:
    """What all questions together may take. None: no bound.

    No call begins once a bound is reached; those under way then can pass `tokens` and `cost_usd`, never `calls`.
    """

    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None


@dataclass
class JudgeSpent:
    """What has been taken so far."""

    calls: int = 0  #: of the model
    cached: int = 0  #: answers that were there already
    invalid: int = 0  #: answers that were none
    failed: int = 0  #: calls without an answer
    tokens: int = 0  #: as far as the endpoint said
    cost_usd: float = 0.0  #: as far as it is known

    def add(self, other: JudgeSpent) -> None:
        """Put another's figures on top."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def reached(self, budget: JudgeBudget) -> str:
        """Which bound is reached, "" for none."""
        for name in ("calls", "tokens", "cost_usd"):
            bound = getattr(budget, name)
            if bound is not None and getattr(self, name) >= bound:
                return f"{name} {bound:g}"
        return ""


@dataclass(frozen=True)
class Preference:
    """What came of one pair."""

    outcome: Literal["first", "second", "tie", "invalid"]
    cause: Cause = ""  #: why it is invalid
    orders: tuple[str, str] = ("", "")  #: winner when the first was shown first, and when it was shown second
    reasons: tuple[str, str] = ("", "")  #: untrusted text
    prompts: tuple[str, str] = ("", "")  #: digests
    spent: JudgeSpent = field(
        default_factory=JudgeSpent
    )  #: by this question; a shared call is its first asker's

    @property
    def swayed(self) -> bool:
        """Whether the order decided: the same place won both times."""
        return self.orders in (("first", "second"), ("second", "first"))


@dataclass(frozen=True)
class Score:
    """What came of one work. `value` in [0, 1] is the mean over criteria and samples; None when invalid."""

    value: float | None
    cause: Cause = ""
    criteria: Mapping[str, float] = field(default_factory=dict)  #: criterion -> mean of the samples, 0 to 10
    reason: str = ""  #: untrusted text
    prompt: str = ""  #: digest
    spent: JudgeSpent = field(default_factory=JudgeSpent)  #: as with a preference


class Asked(Protocol):
    """Who can be asked: a `Judge`, or one in another process. Never raises for what the model does."""

    async def compare(self, instruction: str, first: Work, second: Work, *, sample: int = 0) -> Preference:
        """Which of two works is better."""
        ...

    async def score(self, instruction: str, work: Work) -> Score:
        """How good a work is."""
        ...


class Judge:
    """Asks a model about works. One object serves many questions at once, on one event loop."""

    def __init__(
        self,
        ask: Ask,
        *,
        name: str,
        budget: JudgeBudget | None = None,
        cache: AnswerCache | None = None,
        rubric: Mapping[str, str] = RUBRIC,
        samples: int = 1,
        max_concurrent: int = 8,
        timeout_s: float = 120.0,
    ) -> None:
        """`name` says which model it is: answers are cached under it. `samples` of one question are one vote."""
        if samples < 1 or max_concurrent < 1 or timeout_s <= 0:
            raise VerifierError(
                "a judge needs samples and max_concurrent of at least 1, and a timeout_s above 0"
            )
        if not rubric:
            raise VerifierError(
                "a judge without a criterion would judge nothing; leave rubric out, or name one"
            )
        self.name = name
        self.rubric = dict(rubric)
        self.spent = JudgeSpent()
        self.budget = budget or JudgeBudget()
        self._ask, self._cache, self._samples = ask, cache, samples
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(max_concurrent)
        self._running: dict[str, asyncio.Task[JudgeReply]] = {}

    async def compare(self, instruction: str, first: Work, second: Work, *, sample: int = 0) -> Preference:
        """Which is better, asked in both orders. Never raises for what the model does.

        Works that are equal to the letter are a tie that nobody is asked about.
        """
        if first.digest == second.digest:
            return Preference("tie", orders=("tie", "tie"))
        prompts = (
            pairwise_prompt(instruction, first, second, self.rubric),
            pairwise_prompt(instruction, second, first, self.rubric),
        )
        bill = JudgeSpent()
        forward, backward = await asyncio.gather(*(self._preference(p, sample, bill) for p in prompts))
        digests = (prompts[0].digest, prompts[1].digest)
        if isinstance(forward, JudgeFailed) or isinstance(backward, JudgeFailed):
            failure = forward if isinstance(forward, JudgeFailed) else backward
            assert isinstance(failure, JudgeFailed)
            told = (str(failure)[:500], "")
            return Preference("invalid", failure.cause, reasons=told, prompts=digests, spent=bill)
        orders = (_FORWARD[forward[0]], _BACKWARD[backward[0]])
        outcome = orders[0] if orders[0] == orders[1] else "tie"
        return Preference(outcome, "", orders, (forward[1], backward[1]), digests, bill)

    async def score(self, instruction: str, work: Work) -> Score:
        """How good it is. Never raises for what the model does."""
        prompt, bill = pointwise_prompt(instruction, work, self.rubric), JudgeSpent()
        replies = await asyncio.gather(*(self._scores(prompt, k, bill) for k in range(self._samples)))
        valid = [reply for reply in replies if not isinstance(reply, JudgeFailed)]
        if 2 * len(valid) <= len(replies):
            failure = next(reply for reply in replies if isinstance(reply, JudgeFailed))
            return Score(None, failure.cause, reason=str(failure)[:500], prompt=prompt.digest, spent=bill)
        means = {name: math.fsum(scores[name] for scores, _ in valid) / len(valid) for name in self.rubric}
        value = math.fsum(means.values()) / len(means) / TOP_SCORE
        return Score(value, "", means, valid[0][1], prompt.digest, bill)

    async def _preference(
        self, prompt: Prompt, sample: int, bill: JudgeSpent
    ) -> tuple[Winner, str] | JudgeFailed:
        """The answer in one order: what more than half of the samples say, else a tie."""
        numbers = range(sample * self._samples, (sample + 1) * self._samples)
        replies = await asyncio.gather(*(self._read(prompt, k, read_preference, bill) for k in numbers))
        valid = [reply for reply in replies if not isinstance(reply, JudgeFailed)]
        if 2 * len(valid) <= len(replies):
            return next(reply for reply in replies if isinstance(reply, JudgeFailed))
        for winner, reason in valid:
            if 2 * sum(other == winner for other, _ in valid) > len(replies):
                return winner, reason
        return "tie", valid[0][1]

    async def _scores(
        self, prompt: Prompt, sample: int, bill: JudgeSpent
    ) -> tuple[dict[str, int], str] | JudgeFailed:
        return await self._read(prompt, sample, lambda text: read_scores(text, self.rubric), bill)

    async def _read(
        self, prompt: Prompt, sample: int, read: Callable[[str], T], bill: JudgeSpent
    ) -> T | JudgeFailed:
        try:
            reply = await self._answer(prompt, sample, bill)
        except JudgeFailed as failure:
            return failure
        try:
            return read(reply.text)
        except InvalidAnswer as error:
            self._charge(bill, JudgeSpent(invalid=1))
            return JudgeFailed("invalid_answer", str(error))

    async def _answer(self, prompt: Prompt, sample: int, bill: JudgeSpent) -> JudgeReply:
        """From the cache, from a call that is under way for the same question, or by a call."""
        key = f"{self.name}/{prompt.digest}/{sample}"
        known = self._cache.get(key) if self._cache is not None else None
        if known is not None:
            self._charge(bill, JudgeSpent(cached=1))
            return known
        if key not in self._running:
            call = asyncio.create_task(self._call(prompt, sample, key, bill))
            self._running[key] = call
            call.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(self._running[key])

    async def _call(self, prompt: Prompt, sample: int, key: str, bill: JudgeSpent) -> JudgeReply:
        async with self._places:
            if bound := self.spent.reached(self.budget):
                raise JudgeFailed("budget", f"the judge's budget is spent: {bound}")
            self._charge(bill, JudgeSpent(calls=1))
            if self._cache is not None:
                self._cache.asked(key)
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await self._ask(prompt, sample)
            except TimeoutError:
                self._charge(bill, JudgeSpent(failed=1))
                seconds = time.monotonic() - started
                raise JudgeFailed("timeout", f"the judge gave no answer in {seconds:.0f} s") from None
            except JudgeFailed:
                self._charge(bill, JudgeSpent(failed=1))
                raise
            self._charge(bill, JudgeSpent(tokens=reply.tokens or 0, cost_usd=reply.cost_usd or 0.0))
            if self._cache is not None:
                self._cache.put(key, reply)
            return reply

    def _charge(self, bill: JudgeSpent, what: JudgeSpent) -> None:
        self.spent.add(what)
        bill.add(what)


_FORWARD: dict[Winner, Literal["first", "second", "tie"]] = {"A": "first", "B": "second", "tie": "tie"}
_BACKWARD: dict[Winner, Literal["first", "second", "tie"]] = {"A": "second", "B": "first", "tie": "tie"}
