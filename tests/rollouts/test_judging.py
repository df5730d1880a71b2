"""A judge in a run: asked inside a tier, at a bounded price, and only as decisive as its calibration allows."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import FIX, make_record
from small_tasks import FAIL, call, write_task

from rollouts.batch import run_batch
from rollouts.config import JudgeConfig, RunConfig, parse_config
from rollouts.errors import ConfigError
from rollouts.judging import FILE, JudgeService, check_judge, judge_name, judge_rollout
from rollouts.policies.loopback import Fault, LoopbackModelServer, ModelRequest
from rollouts.rankings import rank_rollout
from rollouts.records import BranchRecord, JudgeSaid
from rollouts.store import RunStore


def quality(text: str) -> int:
    """How good the work in a piece of a prompt is: the number in its diff."""
    found = re.search(r"quality (\d+)", text)
    return int(found[1]) if found else -1


def answer(winner: str) -> str:
    return json.dumps({"reasoning": "as told", "winner": winner})


def fair(request: ModelRequest) -> str:
    """Prefers the higher number, wherever it stands."""
    text = request.body["messages"][-1]["content"]
    first, second = text.split("work B, diff begins")
    a, b = quality(first), quality(second)
    return answer("A" if a > b else "B" if b > a else "tie")


def always_first(_request: ModelRequest) -> str:
    return answer("A")


def config(server: LoopbackModelServer, **settings: Any) -> JudgeConfig:
    policy = {
        "name": "openai",
        "options": {"model": "small", "base_url": server.url + "/v1", "max_retries": 0},
    }
    return JudgeConfig.model_validate({"policy": policy, "floor": None, **settings})


def branches(*, failing: int = 0, numbers: tuple[int, ...] = (3, 9, 5, 1)) -> list[BranchRecord]:
    solved = [make_record(i, "solved", diff=f"+ quality {number}\n") for i, number in enumerate(numbers)]
    others = [make_record(len(numbers) + i, "failed", diff=f"+ quality {50 + i}\n") for i in range(failing)]
    return [*solved, *others]


async def said(server: LoopbackModelServer, records: list[BranchRecord], **settings: Any) -> JudgeSaid:
    judge = JudgeService(config(server, **settings), None)
    try:
        return await judge_rollout(config(server, **settings), judge, records)
    finally:
        await judge.close()


def calls_made(run_dir: Path) -> list[str]:
    return re.findall('"asked":', (run_dir / FILE).read_text())


def answers(run_dir: Path) -> list[str]:
    return re.findall('"text":', (run_dir / FILE).read_text())


def calibration(judge: str, low: Any, findings: tuple[str, ...] = ()) -> str:
    """What `rollouts audit judge` would write."""
    return json.dumps({"judge": judge, "auc": {"low": low}, "findings": list(findings), "outcomes": {}})


async def test_the_work_a_judge_prefers_wins_inside_its_tier() -> None:
    records = branches(failing=2)
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records)
    ranking = rank_rollout(records, found)
    assert ranking.winner == "b001"
    assert [line["branch_id"] for line in ranking.order[:2]] == ["b001", "b002"]
    assert found.blind and found.tiers[0].stop == "one left"
    assert found.calls == len(server.requests)


async def test_no_judge_lifts_a_failing_branch_and_none_is_asked_about_one() -> None:
    records = branches(failing=4)
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records, tiers="all", schedule="round_robin")
    ranking = rank_rollout(records, found)
    assert ranking.winner == "b001"
    assert [line["tier"] for line in ranking.order] == [0] * 4 + [1] * 4
    for tier in found.tiers:
        assert all({a, b} <= set(tier.branches) for a, b, *_ in tier.comparisons)


async def test_a_judge_that_goes_by_the_place_decides_nothing() -> None:
    records = branches()
    async with LoopbackModelServer(always_first) as server:
        found = await said(server, records)
    assert {line[2] for line in found.tiers[0].comparisons} == {"tie"}
    assert {line[3] for line in found.tiers[0].comparisons} == {"swayed"}
    assert rank_rollout(records, found).winner is None


async def test_far_fewer_questions_are_asked_than_a_round_robin_takes() -> None:
    records = branches(numbers=tuple(range(24)))
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records)
    assert found.calls_round_robin == 24 * 23
    assert found.calls < found.calls_round_robin / 2
    assert found.tiers[0].rounds <= 6
    assert rank_rollout(records, found).winner in ("b023", "b022", "b021")


async def test_equal_works_are_asked_about_once_and_told_apart_by_their_signals() -> None:
    records = branches(numbers=(7, 5, 5, 7))
    cheaper = make_record(3, "solved", diff="+ quality 7\n", actions=FIX[2:])
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records)
        assert rank_rollout(records, found).winner == "b000"  # the same as b003, which took the same steps
        found = await said(server, [*records[:3], cheaper])
    assert found.calls_round_robin == 2
    assert rank_rollout([*records[:3], cheaper], found).winner == "b003"


@pytest.mark.parametrize("fault", [Fault.status(500), Fault.status(429), Fault.garbage()], ids=str)
async def test_a_judge_that_does_not_answer_is_given_up_and_decides_nothing(fault: Fault) -> None:
    records = branches(numbers=tuple(range(8)))
    async with LoopbackModelServer(fair, faults=dict.fromkeys(range(500), fault)) as server:
        found = await said(server, records)
    assert "without an answer (unavailable)" in found.tiers[0].stop
    assert found.calls < 40
    ranking = rank_rollout(records, found)
    assert ranking.winner is None and ranking.invalid > 0


async def test_prose_is_invalid_and_no_vote() -> None:
    records = branches()
    async with LoopbackModelServer(lambda _: "Both are fine, A maybe.") as server:
        found = await said(server, records)
    assert {tuple(line[2:]) for line in found.tiers[0].comparisons} == {("invalid", "invalid_answer")}
    assert rank_rollout(records, found).winner is None


async def test_a_spent_budget_ends_the_questions_and_is_told() -> None:
    records = branches(numbers=tuple(range(16)))
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records, budget={"calls": 10})
        assert found.tiers[0].stop == "the judge's budget is spent"
        assert len(server.requests) == found.calls == 10


async def test_where_the_calls_do_not_reach_nobody_is_asked_and_the_signals_decide() -> None:
    records = branches(numbers=tuple(range(8)))
    records[5] = make_record(5, "solved", diff="+ quality 5\n", actions=FIX[2:])
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records, calls_per_tier=4)
        assert found.may_decide and "not asked" in found.tiers[0].stop
        assert server.requests == []
    assert rank_rollout(records, found).winner == "b005"


async def test_rollouts_judged_at_the_same_time_are_billed_their_own_calls() -> None:
    async with LoopbackModelServer(fair) as server:
        judge = JudgeService(config(server), None)
        groups = [branches(numbers=tuple(range(10 * k, 10 * k + 2 + k))) for k in range(4)]
        alone = [(await said(server, group)).calls for group in groups]
        together = await asyncio.gather(*(judge_rollout(config(server), judge, group) for group in groups))
        await judge.close()
    assert [found.calls for found in together] == alone


async def test_what_was_asked_is_not_asked_again_and_stays_on_the_bill(tmp_path: Path) -> None:
    records = branches()
    async with LoopbackModelServer(fair) as server:
        for calls in (True, False):
            judge = JudgeService(config(server), tmp_path)
            before = judge.judge.spent.calls
            found = await judge_rollout(config(server), judge, records)
            await judge.close()
            assert (found.calls > 0) == calls
            assert rank_rollout(records, found).winner == "b001"
        assert before == len(server.requests) == len(answers(tmp_path)) == len(calls_made(tmp_path))


async def test_a_judge_without_a_calibration_gives_its_order_and_decides_nothing(tmp_path: Path) -> None:
    records = branches()
    by_signals = rank_rollout(records).winner
    async with LoopbackModelServer(fair) as server:
        found = await said(server, records, floor=0.6)
        assert not found.may_decide and "no calibration" in found.why
        assert rank_rollout(records, found).winner == by_signals
        for low, decides in ((0.59, False), (None, False), (0.61, True)):
            path = tmp_path / "judge.json"
            path.write_text(calibration(judge_name(config(server)), low))
            found = await said(server, records, floor=0.6, calibration=str(path))
            assert found.may_decide == decides, low
            assert rank_rollout(records, found).winner == ("b001" if decides else by_signals)


def test_a_judge_that_would_judge_its_own_work_is_refused_unless_allowed() -> None:
    own = {"name": "openai", "options": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    with pytest.raises(ConfigError, match="allow_same_model"):
        check_judge(RunConfig.model_validate({"policy": own, "judge": {"policy": own}}))
    check_judge(RunConfig.model_validate({"policy": own, "judge": {"policy": own, "allow_same_model": True}}))
    other = {"name": "openai", "options": {"model": "n", "base_url": "http://127.0.0.1:9/v1"}}
    check_judge(RunConfig.model_validate({"policy": own, "judge": {"policy": other}}))


def test_a_judge_that_does_not_answer_questions_is_refused() -> None:
    config = RunConfig.model_validate(
        {"policy": {"name": "scripted"}, "judge": {"policy": {"name": "mutation"}}}
    )
    assert config.judge is not None
    words = "judge.policy.name: the policy 'mutation' does not answer questions"
    with pytest.raises(ConfigError, match=words):
        check_judge(config)
    with pytest.raises(ConfigError, match=words):
        JudgeService(config.judge, None)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"name": "openai"}, r"--set judge\.policy\.options\.model=\.\.\."),
        ({"name": "opeani"}, r"^judge\.policy\.name: no policy named 'opeani'"),
        (
            {"name": "scripted", "options": {"file": "/nowhere"}},
            r"^judge\.policy\.options\.file: /nowhere cannot be read",
        ),
    ],
)
def test_errors_about_a_judges_policy_name_its_own_section(policy: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_judge(RunConfig.model_validate({"judge": {"policy": policy}}))


def test_a_calibration_of_another_judge_or_none_at_all_is_told_before_anything_starts(tmp_path: Path) -> None:
    judge = {"policy": {"name": "openai", "options": {"model": "n", "base_url": "http://127.0.0.1:9/v1"}}}
    path = tmp_path / "c.json"
    for content, words in (
        (None, "no calibration"),
        ("{", "no calibration"),
        (calibration("x", 1), "is of the judge x"),
        (calibration("x", float("nan")), "an AUC of at least nan"),
        (calibration("x", 5), "an AUC of at least 5"),
        ("[]", "no calibration"),
    ):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=words):
            check_judge(RunConfig.model_validate({"judge": {**judge, "calibration": str(path)}}))


def test_nothing_a_verifier_said_is_shown_to_a_judge() -> None:
    record = make_record(0, "failed")
    verdict = record.result.verdict
    assert verdict is not None
    secret = "hidden test test_overflow did not pass"
    result = record.result.model_copy(
        update={"verdict": verdict.model_copy(update={"reason": secret, "log": secret})}
    )
    from rollouts.judging import leaked, work_of
    from verifiers.judge_prompt import pointwise_prompt

    told = record.model_copy(update={"result": result})
    prompt = pointwise_prompt(told.task.instruction, work_of(told))
    assert secret not in prompt.user + prompt.system
    assert leaked(told) == []


async def test_a_batch_asks_its_judge_and_keeps_what_it_said(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")

    def solve(new: str) -> list[dict[str, Any]]:
        return [call("edit_file", path="calc.py", old="a + b + 1", new=new), call("submit", answer="mended")]

    scripts = [solve("a + b  # quality 2"), solve("sum((a, b))  # quality 8"), FAIL]
    async with LoopbackModelServer(fair) as server:
        settings = {
            "tasks": str(tmp_path / "tasks"),
            "branches": 9,
            "policy": {"name": "scripted", "options": {"branches": scripts}},
            "engine": {"kind": "inline"},
            "report": False,
            "judge": config(server).model_dump(mode="json"),
        }
        await run_batch(parse_config(json.dumps(settings)), tmp_path / "run")
    with RunStore.open(tmp_path / "run") as store:
        ranking = store.rankings()["adder"]
        diffs = {record.lineage.branch_id: record.result.diff for record in store.branches()}
    assert len(set(diffs.values())) == 3
    top = next(line for line in ranking.order if line["rank"] == 1)
    assert "quality 8" in diffs[top["branch_id"]]
    assert ranking.judge is not None and ranking.judge.calls == 2 * len({*diffs.values()} - {""}) - 2
    assert (tmp_path / "run" / FILE).exists()


async def test_a_judge_with_a_finding_decides_nothing_however_high_its_auc(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    async with LoopbackModelServer(fair) as server:
        path.write_text(calibration(judge_name(config(server)), 0.99, ("place: it goes by the place",)))
        found = await said(server, branches(), floor=0.6, calibration=str(path))
    assert not found.may_decide and found.why == "its audit found: place: it goes by the place"


@pytest.mark.parametrize(
    "other",
    [{"rubric": {"rhyme": "it has to rhyme"}}, {"samples": 5}, {"max_tokens": 7}, {"temperature": 0.3}],
)
async def test_a_calibration_holds_for_no_other_way_of_asking(other: dict[str, Any]) -> None:
    async with LoopbackModelServer(fair) as server:
        assert judge_name(config(server)) == judge_name(config(server, budget={"calls": 3}, max_concurrent=2))
        assert judge_name(config(server)) != judge_name(config(server, **other))


async def test_calls_without_an_answer_are_paid_for_also_by_whoever_goes_on(tmp_path: Path) -> None:
    async with LoopbackModelServer(fair, faults=dict.fromkeys(range(500), Fault.status(500))) as server:
        settings = config(server, budget={"calls": 5})
        for _ in range(2):
            judge = JudgeService(settings, tmp_path)
            await judge_rollout(settings, judge, branches(numbers=tuple(range(8))))
            await judge.close()
        assert len(server.requests) == 5


@pytest.mark.parametrize("schedule", ["halving", "round_robin"])
@pytest.mark.parametrize("copies", [1, 3])
async def test_copies_of_a_work_do_not_change_what_the_judge_says_of_it(schedule: str, copies: int) -> None:
    """The worse work is cheap and has dear copies; the better one stands alone, or has cheap copies."""
    better, worse = [FIX] + [FIX[2:]] * (copies - 1), [FIX[2:]] + [FIX] * 4
    works = [(2, actions) for actions in better] + [(1, actions) for actions in worse]
    records = [
        make_record(i, "solved", diff=f"+ quality {quality_}\n", actions=actions)
        for i, (quality_, actions) in enumerate(works)
    ]
    async with LoopbackModelServer(fair) as server:
        ranking = rank_rollout(records, await said(server, records, schedule=schedule))
    best = {f"b{i:03d}" for i in range(copies)}
    assert {line["branch_id"] for line in ranking.order[:copies]} == best
    assert ranking.winner in best
    assert ranking.winner == (
        "b000" if copies == 1 else "b001"
    )  # of copies the cheapest, of equal ones the first


async def test_a_few_works_never_cost_more_than_a_round_robin() -> None:
    async with LoopbackModelServer(fair) as server:
        for n in range(2, 9):
            found = await said(server, branches(numbers=tuple(range(n))))
            assert found.calls <= found.calls_round_robin == n * (n - 1)
