"""A judge as a part of the verification: what it scores weighs in the reward, from the one budget of the run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_tasks import FAIL, call, write_task
from test_judging import answers, calls_made, config, fair, quality

from rollouts.batch import run_batch
from rollouts.config import RunConfig, parse_config
from rollouts.errors import ConfigError
from rollouts.executor import build_verifier
from rollouts.judging import JudgeService
from rollouts.policies.loopback import LoopbackModelServer, ModelRequest
from rollouts.store import RunStore
from rollouts.views import summary
from rollouts.views.tables import judge_words


def both(request: ModelRequest) -> str:
    """Scores one work, or prefers the better of two."""
    text = request.body["messages"][-1]["content"]
    if "work B, diff begins" in text:
        return fair(request)
    names = re.findall(r'"(\w+)": 0 to 10', text)
    return json.dumps({"reasoning": "as told", "scores": dict.fromkeys(names, max(0, quality(text)))})


def judged_run(tmp_path: Path, server: LoopbackModelServer, kind: str, **judge: Any) -> RunConfig:
    """Two good works of unequal quality and one bad, scored by the tests and by the judge."""
    write_task(tmp_path / "tasks")
    solve = [call("edit_file", path="calc.py", old="a + b + 1", new="a + b  # quality 2"), call("submit")]
    better = [call("edit_file", path="calc.py", old="a + b + 1", new="b + a  # quality 8"), call("submit")]
    settings = {
        "tasks": str(tmp_path / "tasks"),
        "branches": 6,
        "policy": {"name": "scripted", "options": {"branches": [solve, better, FAIL]}},
        "engine": {"kind": kind},
        "verify": {"parts": [{"name": "build"}, {"name": "judge", "gate": False, "stage": 1, "weight": 0.5}]},
        "judge": config(server, **judge).model_dump(mode="json"),
    }
    return parse_config(json.dumps(settings))


@pytest.mark.parametrize("kind", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
async def test_a_judges_scores_weigh_in_the_reward_and_share_one_budget_with_its_pairs(
    tmp_path: Path, kind: str
) -> None:
    async with LoopbackModelServer(both) as server:
        await run_batch(judged_run(tmp_path, server, kind), tmp_path / "run")
        asked = len(server.requests)
    with RunStore.open(tmp_path / "run") as store:
        rewards = {(r.result.ending, "quality 8" in r.result.diff): r.result.reward for r in store.branches()}
        told = summary(store)
        ranking = store.rankings()["adder"]
    assert rewards[("solved", True)] == pytest.approx((1 + 0.5 * 0.8) / 1.5)
    assert rewards[("solved", False)] == pytest.approx((1 + 0.5 * 0.2) / 1.5)
    assert {ending for ending, _ in rewards} == {"solved", "failed"}
    assert ranking.judge is not None and ranking.judge.calls > 0
    assert (
        told["judge"]["calls"] == asked == len(calls_made(tmp_path / "run")) == len(answers(tmp_path / "run"))
    )
    assert asked > ranking.judge.calls
    assert ranking.confirmation is not None and ranking.confirmation.passes == 1


async def test_one_budget_holds_for_scores_and_pairs_and_a_missing_score_is_not_zero(tmp_path: Path) -> None:
    async with LoopbackModelServer(both) as server:
        await run_batch(judged_run(tmp_path, server, "inline", budget={"calls": 1}), tmp_path / "run")
        assert len(server.requests) == 1
    with RunStore.open(tmp_path / "run") as store:
        solved = [r for r in store.branches() if r.result.ending == "solved"]
        ranking = store.rankings()["adder"]
    unscored = [r for r in solved if r.result.verdict and r.result.verdict.parts[1].cause == "budget"]
    assert unscored and all(r.result.reward is None for r in unscored)
    assert ranking.judge is not None and ranking.judge.tiers[0].stop == "the judge's budget is spent"


async def test_a_judge_that_may_not_decide_may_not_make_rewards_either(tmp_path: Path) -> None:
    async with LoopbackModelServer(both) as server:
        with pytest.raises(ConfigError, match=r"verify.parts: judge would decide rewards.*no calibration"):
            await run_batch(judged_run(tmp_path, server, "inline", floor=0.6), tmp_path / "run")
        assert not server.requests and not (tmp_path / "run").exists()


async def test_a_judge_part_without_a_judge_is_refused(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    settings = {"tasks": str(tmp_path / "tasks"), "verify": {"parts": [{"name": "build"}, {"name": "judge"}]}}
    with pytest.raises(ConfigError, match="needs the section `judge`"):
        await run_batch(parse_config(json.dumps(settings)), tmp_path / "run")


async def test_the_report_and_show_tell_what_the_judge_was_asked(tmp_path: Path) -> None:
    async with LoopbackModelServer(both) as server:
        await run_batch(judged_run(tmp_path, server, "inline"), tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "answers of the judge" in page and "a full round robin takes" in page
    with RunStore.open(tmp_path / "run") as store:
        said = store.rankings()["adder"].judge
    assert said is not None
    words = judge_words(said)
    assert f"{said.calls} calls" in words and f"takes {said.calls_round_robin}" in words and "blind" in words
    assert "ended: one left" in words


def test_a_judge_part_takes_no_judge_of_its_own_and_no_number_for_yes() -> None:
    for options, words in (({"judge": 1}, "no option `judge`"), ({"pass_at": True}, "pass_at")):
        part = {"name": "judge", "gate": False, "options": options}
        policy = {"name": "openai", "options": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
        settings = RunConfig.model_validate(
            {"verify": {"parts": [{"name": "build"}, part]}, "judge": {"policy": policy, "floor": None}}
        )
        assert settings.judge is not None
        with pytest.raises(ConfigError, match=words):
            build_verifier(settings, JudgeService(settings.judge, None))
