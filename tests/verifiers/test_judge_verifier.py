"""The judge as a verifier: a score for the work, and no pass where there is no answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from verifiers import Part, Pipeline, VerifierError
from verifiers.build import BuildVerifier
from verifiers.judge import Judge, JudgeBudget, JudgeFailed, JudgeReply
from verifiers.judge_prompt import RUBRIC, Prompt
from verifiers.judge_verifier import JudgeVerifier
from verifiers.selfcheck import check_verifier

DIFF = "--- a/calc.py\n+++ b/calc.py\n-    return a - b\n+    return a + b\n"


def model(*, good: int = 8, other: int = 2):
    """Gives work that adds the first score, and the second to anything else."""

    async def ask(prompt: Prompt, _sample: int) -> JudgeReply:
        await asyncio.sleep(0)
        value = good if "+    return a + b" in prompt.user else other
        return JudgeReply(
            json.dumps({"reasoning": "seen", "scores": dict.fromkeys(RUBRIC, value)}), 100, 0.01
        )

    return ask


def saying(text: str | JudgeFailed):
    async def ask(_prompt: Prompt, _sample: int) -> JudgeReply:
        if isinstance(text, JudgeFailed):
            raise text
        return JudgeReply(text)

    return ask


async def test_it_keeps_the_contract_of_every_verifier(pool, work):
    submission = await work()
    good, bad = replace(submission, diff=DIFF), replace(submission, diff="+    return 0\n")
    assert await check_verifier(JudgeVerifier(Judge(model(), name="m")), pool, good=good, bad=bad) == []


async def test_the_score_is_the_mean_over_criteria_and_each_criterion_is_a_check(pool, work):
    verdict = await JudgeVerifier(Judge(model(good=7), name="m")).verify(
        replace(await work(), diff=DIFF), pool
    )
    assert verdict.passed and verdict.score == pytest.approx(0.7)
    assert {check.id for check in verdict.checks} == {f"judge/{name}" for name in RUBRIC}


async def test_what_other_verifiers_said_is_not_in_its_question(pool, work):
    asked: list[str] = []

    async def ask(prompt: Prompt, sample: int) -> JudgeReply:
        asked.append(prompt.user + prompt.system)
        return await model()(prompt, sample)

    submission = replace(await work(), diff=DIFF)
    parts = [BuildVerifier(), JudgeVerifier(Judge(ask, name="m"))]
    verdict = await Pipeline([Part(parts[0]), Part(parts[1], stage=0, gate=False)]).verify(submission, pool)
    said = verdict.parts[0]
    assert said.reason and said.reason not in asked[0]
    assert "test_large" not in asked[0]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("I like it: 9 of 10.", "invalid_answer"),
        (json.dumps({"reasoning": "x", "scores": {"correctness": 9}}), "invalid_answer"),
        (JudgeFailed("timeout", "too slow"), "timeout"),
        (JudgeFailed("refusal", "no"), "refusal"),
        (JudgeFailed("unavailable", "status 500"), "unavailable"),
    ],
)
async def test_an_answer_that_is_none_is_unknown_and_no_pass(pool, work, answer, cause):
    verdict = await JudgeVerifier(Judge(saying(answer), name="m")).verify(
        replace(await work(), diff=DIFF), pool
    )
    assert (verdict.outcome, verdict.cause, verdict.infra, verdict.score) == ("unknown", cause, True, None)


async def test_a_spent_budget_is_unknown(pool, work):
    judge = Judge(model(), name="m", budget=JudgeBudget(calls=1))
    submission = await work()
    first = await JudgeVerifier(judge).verify(replace(submission, diff=DIFF), pool)
    second = await JudgeVerifier(judge).verify(replace(submission, diff=DIFF + "+ more\n"), pool)
    assert first.passed
    assert (second.outcome, second.cause) == ("unknown", "budget")


async def test_empty_work_fails_and_nobody_is_asked(pool, work):
    judge = Judge(model(), name="m")
    verdict = await JudgeVerifier(judge).verify(replace(await work(), diff=" \n", answer=""), pool)
    assert (verdict.outcome, verdict.score, judge.spent.calls) == ("fail", 0.0, 0)


@pytest.mark.parametrize("pass_at", [0, -1, 1.01, float("nan"), "0.5"])
def test_an_impossible_pass_mark_is_refused(pass_at):
    with pytest.raises(VerifierError, match="pass_at"):
        JudgeVerifier(Judge(model(), name="m"), pass_at=pass_at)
