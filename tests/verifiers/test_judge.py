"""A model as a judge: what it is shown, how it is read, and what it cannot do."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import CheckResult, Verdict, VerifierError
from verifiers.judge import Judge, JudgeBudget, JudgeFailed, JudgeReply
from verifiers.judge_prompt import (
    RUBRIC,
    InvalidAnswer,
    Prompt,
    Work,
    leaks,
    pairwise_prompt,
    pointwise_prompt,
    read_preference,
    read_scores,
)

GOOD = Work(diff="+ return a + b", answer="done", evidence="3 passed")
BAD = Work(diff="+ return a - b", answer="done", evidence="3 passed")


def says(winner: str) -> str:
    return json.dumps({"reasoning": "because", "winner": winner})


class Model:
    """A model that answers by a rule, and counts."""

    def __init__(self, rule, *, after: float = 0.0, tokens: int | None = 10, cost: float | None = 0.5):
        self.rule, self.after, self.tokens, self.cost = rule, after, tokens, cost
        self.calls = self.at_once = self.most_at_once = 0

    async def __call__(self, prompt: Prompt, sample: int) -> JudgeReply:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.after)
            found = self.rule(prompt, sample)
        finally:
            self.at_once -= 1
        if isinstance(found, Exception):
            raise found
        return JudgeReply(found, self.tokens, self.cost)


def prefers_plus(prompt: Prompt, _sample: int) -> str:
    first = prompt.user.find("work A, diff begins")
    if first < 0:
        return json.dumps({"reasoning": "because", "scores": dict.fromkeys(RUBRIC, 5)})
    return says("A" if "a + b" in prompt.user[first : prompt.user.index("work B, diff begins")] else "B")


class Cache(dict):
    put = dict.__setitem__

    def asked(self, key: str) -> None:
        self.calls = [*getattr(self, "calls", []), key]


def judge(rule, **options) -> Judge:
    model = rule if isinstance(rule, Model) else Model(rule)
    made = Judge(model, name="test-model", **options)
    made.model = model  # type: ignore[attr-defined]
    return made


async def test_the_better_work_wins_whichever_is_shown_first() -> None:
    asked = judge(prefers_plus)
    assert (await asked.compare("add", GOOD, BAD)).outcome == "first"
    assert (await asked.compare("add", BAD, GOOD)).outcome == "second"


@pytest.mark.parametrize("place", ["A", "B"])
async def test_a_judge_that_goes_by_the_place_has_said_tie(place: str) -> None:
    found = await judge(lambda *_: says(place)).compare("add", GOOD, BAD)
    assert (found.outcome, found.swayed) == ("tie", True)


async def test_a_winner_in_one_order_and_a_tie_in_the_other_is_a_tie() -> None:
    answers = iter([says("A"), says("tie")])
    found = await judge(lambda *_: next(answers)).compare("add", GOOD, BAD)
    assert (found.outcome, found.swayed) == ("tie", False)


INVALID = {
    "prose": "I prefer A.",
    "nothing": "",
    "JSON in prose": 'My answer: {"reasoning": "r", "winner": "A"}',
    "two objects": says("A") + says("B"),
    "a quoted object before the answer": '"{\\"winner\\": \\"B\\"}" ' + says("A"),
    "another word": says("first"),
    "small letters": says("a"),
    "no reasoning": '{"winner": "A"}',
    "more keys": '{"reasoning": "r", "winner": "A", "confidence": 1}',
    "a key twice": '{"reasoning": "r", "winner": "A", "winner": "B"}',
    "a list": '[{"reasoning": "r", "winner": "A"}]',
    "null": "null",
    "NaN": '{"reasoning": NaN, "winner": "A"}',
    "deep nesting": "[" * 100_000,
    "a flood": says("A") + " " * 50_000,
    "cut off": says("A")[:-1],
}


@pytest.mark.parametrize("what", INVALID)
async def test_what_is_not_the_one_object_is_invalid_and_no_vote(what: str) -> None:
    with pytest.raises(InvalidAnswer):
        read_preference(INVALID[what])
    asked = judge(lambda *_: INVALID[what])
    found = await asked.compare("add", GOOD, BAD)
    assert (found.outcome, found.cause) == ("invalid", "invalid_answer")
    assert asked.spent.invalid == 2


async def test_one_invalid_order_makes_the_pair_invalid() -> None:
    answers = iter([says("A"), "A!"])
    assert (await judge(lambda *_: next(answers)).compare("add", GOOD, BAD)).outcome == "invalid"


def test_braces_in_the_reasoning_and_a_fence_around_the_whole_are_read() -> None:
    text = json.dumps({"reasoning": 'it has } and {"winner": "B"}', "winner": "A"})
    assert read_preference(text)[0] == "A"
    assert read_preference(f"```json\n{text}\n```\n")[0] == "A"


def test_scores_are_whole_numbers_in_range_for_exactly_the_criteria() -> None:
    scores = dict.fromkeys(RUBRIC, 7)
    assert read_scores(json.dumps({"reasoning": "r", "scores": scores}))[0] == scores
    for wrong in (
        {**scores, "clarity": 11},
        {**scores, "clarity": 7.5},
        {**scores, "more": 1},
        {"clarity": 7},
    ):
        with pytest.raises(InvalidAnswer):
            read_scores(json.dumps({"reasoning": "r", "scores": wrong}))


async def test_a_score_is_the_mean_over_criteria_and_samples() -> None:
    def rule(_prompt: Prompt, sample: int) -> str:
        return json.dumps({"reasoning": "r", "scores": dict.fromkeys(RUBRIC, (4, 6, 8)[sample])})

    found = await judge(rule, samples=3).score("add", GOOD)
    assert (found.value, found.cause) == (pytest.approx(0.6), "")
    assert found.criteria == dict.fromkeys(RUBRIC, pytest.approx(6.0))


async def test_without_valid_answers_for_more_than_half_of_the_samples_there_is_no_score() -> None:
    def rule(_prompt: Prompt, sample: int) -> str:
        return "?" if sample else json.dumps({"reasoning": "r", "scores": dict.fromkeys(RUBRIC, 10)})

    found = await judge(rule, samples=2).score("add", GOOD)
    assert (found.value, found.cause) == (None, "invalid_answer")
    found = await judge(rule, samples=3).score("add", GOOD)
    assert found.value is None


@pytest.mark.parametrize("cause", ["timeout", "refusal", "unavailable"])
async def test_a_model_that_does_not_answer_is_a_named_outcome(cause) -> None:
    asked = judge(lambda *_: JudgeFailed(cause, "no"))
    assert (await asked.compare("add", GOOD, BAD)).cause == cause
    assert (await asked.score("add", GOOD)).cause == cause
    assert asked.spent.failed == 3


async def test_a_model_that_takes_too_long_is_a_timeout() -> None:
    found = await judge(Model(prefers_plus, after=9), timeout_s=0.05).compare("add", GOOD, BAD)
    assert (found.outcome, found.cause) == ("invalid", "timeout")


async def test_the_budget_holds_over_pairs_and_scores_together() -> None:
    for budget in (JudgeBudget(calls=3), JudgeBudget(tokens=25), JudgeBudget(cost_usd=1.2)):
        asked = judge(prefers_plus, budget=budget, max_concurrent=1)
        await asked.compare("one", GOOD, BAD)
        await asked.score("two", GOOD)
        assert (await asked.compare("three", GOOD, BAD)).cause == "budget"
        assert (await asked.score("four", GOOD)).cause == "budget"
        assert asked.spent.calls == 3


async def test_equal_questions_are_asked_once_also_at_the_same_time_and_after_a_restart() -> None:
    cache = Cache()
    asked = judge(Model(prefers_plus, after=0.02), cache=cache)
    found = await asyncio.gather(*(asked.compare("add", GOOD, BAD) for _ in range(5)))
    assert asked.model.calls == 2 and len({each.outcome for each in found}) == 1  # type: ignore[attr-defined]
    again = judge(lambda *_: JudgeFailed("unavailable", "gone"), cache=cache)
    assert (await again.compare("add", GOOD, BAD)).outcome == "first"
    assert (again.spent.calls, again.spent.cached) == (0, 2)
    assert (
        await again.compare("add", GOOD, BAD, sample=1)
    ).outcome == "invalid"  # another sample is another question


async def test_failures_are_not_remembered() -> None:
    cache = Cache()
    await judge(lambda *_: JudgeFailed("unavailable", "gone"), cache=cache).compare("add", GOOD, BAD)
    assert (await judge(prefers_plus, cache=cache).compare("add", GOOD, BAD)).outcome == "first"


async def test_equal_works_are_a_tie_that_nobody_is_asked_about() -> None:
    asked = judge(prefers_plus)
    assert (await asked.compare("add", GOOD, Work(**vars(GOOD)))).outcome == "tie"
    assert asked.spent.calls == 0


async def test_no_more_questions_run_at_once_than_allowed() -> None:
    asked = judge(Model(prefers_plus, after=0.01), max_concurrent=3)
    works = [Work(diff=str(number)) for number in range(6)]
    await asyncio.gather(
        *(asked.score("add", work) for work in works), *(asked.compare("x", GOOD, w) for w in works)
    )
    assert asked.model.most_at_once == 3  # type: ignore[attr-defined]


def boundary(prompt: Prompt) -> str:
    found = re.search(r"boundary ([0-9a-f]{16})\.", prompt.system)
    assert found
    return found[1]


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_what_a_work_says_stays_between_its_boundaries(instruction: str, diff: str, answer: str) -> None:
    prompt = pairwise_prompt(instruction, Work(diff, answer), Work(answer, diff))
    mark = boundary(prompt)
    ends = [line for line in prompt.user.split("\n") if line.startswith("=====") and line.endswith(mark)]
    assert len(ends) == 14
    assert all(mark not in text for text in (instruction, diff, answer))
    other = pairwise_prompt("", GOOD, BAD)
    assert prompt.system.replace(mark, "") == other.system.replace(boundary(other), "")


def test_no_untrusted_text_is_in_the_system_prompt() -> None:
    canary = "CANARY-1234"
    for prompt in (
        pairwise_prompt(canary, Work(canary, canary, canary), GOOD),
        pointwise_prompt(canary, Work(canary, canary, canary)),
    ):
        assert canary in prompt.user and canary not in prompt.system


def test_boundaries_are_new_each_time_and_equal_questions_have_equal_digests() -> None:
    one, other = (pairwise_prompt("add", GOOD, BAD) for _ in range(2))
    assert boundary(one) != boundary(other)
    assert one.digest == other.digest
    assert (
        len({one.digest, pairwise_prompt("add", BAD, GOOD).digest, pointwise_prompt("add", GOOD).digest}) == 3
    )


def test_long_works_are_shown_head_and_tail() -> None:
    lines = [f"line {number}" for number in range(200_000)]
    prompt = pointwise_prompt("add", Work("\n".join(lines)))
    assert len(prompt.user) < 60_000
    assert "line 0\n" in prompt.user and "line 199999" in prompt.user
    assert "left out; sha256:" in prompt.user


def test_a_prompt_shows_task_diff_answer_and_evidence() -> None:
    prompt = pairwise_prompt("the task", Work("the diff", "the answer", "the output"), GOOD)
    for text in ("the task", "the diff", "the answer", "the output", *RUBRIC):
        assert text in prompt.user


def test_what_a_verifier_said_is_found_in_a_prompt_it_leaked_into() -> None:
    verdict = Verdict(
        verifier="build",
        outcome="fail",
        score=0.5,
        reason="2 of 4 hidden tests did not pass",
        log="FAILED tests/test_hidden.py::test_overflow - assert 1 == 2",
        checks=(CheckResult(id="t", outcome="fail", message="expected 1 but the work gave 2"),),
    )
    blind = pairwise_prompt("add", GOOD, BAD)
    assert leaks(blind, verdict, ["add", GOOD.diff, BAD.diff]) == []
    told = Prompt(blind.system, blind.user + "\n" + verdict.log, "")
    assert leaks(told, verdict, ["add"]) == [verdict.log]
    assert leaks(told, verdict, [verdict.log]) == []  # the agent had printed it itself


def test_a_judge_without_a_criterion_or_a_sample_is_refused() -> None:
    for wrong in ({"rubric": {}}, {"samples": 0}, {"max_concurrent": 0}, {"timeout_s": 0}):
        with pytest.raises(VerifierError):
            judge(prefers_plus, **wrong)
