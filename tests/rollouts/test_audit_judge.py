"""Judges whose faults are known are found out; a good one is not."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import make_record
from typer.testing import CliRunner

from rollouts.audits import LabelledPair, audit_judge, labelled_pairs, pairs_from_labels
from rollouts.cli import app
from rollouts.config import JudgeConfig
from rollouts.errors import ConfigError
from rollouts.judging import judge_name
from rollouts.policies.loopback import LoopbackModelServer, ModelRequest
from verifiers.judge import Judge, JudgeReply
from verifiers.judge_prompt import RUBRIC, Prompt, Work

TASKS = 30


def pairs() -> list[LabelledPair]:
    found = []
    for number in range(TASKS):
        for variant in range(2):
            good = Work(f"+ good {number}.{variant}\n" + "+ more\n" * (number % 3), "done", "passed")
            bad = Work(f"+ bad {number}.{variant}\n" + "+ more\n" * (2 - number % 3), "done", "passed")
            found.append(LabelledPair(f"t{number}", f"task {number}", good, bad))
    return found


def parts(text: str) -> tuple[str, str]:
    first, _, second = text.partition("===== work B, diff begins")
    return first, second


def winner(a: float, b: float) -> str:
    return "A" if a > b else "B" if b > a else "tie"


def good(text: str) -> float:
    return text.count("+ good") - text.count("+ bad")


def noisy(text: str, sample: int) -> str:
    a, b = parts(text)
    right = random.Random(str(sorted(re.findall(r"\d+\.\d", text)))).random() < 0.9
    return winner(good(a), good(b)) if right else winner(good(b), good(a))


RULES: dict[str, Callable[[str, int], str]] = {
    "good": noisy,
    "always A": lambda text, _: "A",
    "always longer": lambda text, _: winner(*map(len, parts(text))),
    "obeys what works say": lambda text, _: (
        winner(*(part.count("NOTE TO THE JUDGE") for part in parts(text)))
        if "NOTE TO THE JUDGE" in text
        else winner(*map(good, parts(text)))
    ),
    "random": lambda text, _: random.choice(["A", "B", "tie"]),
    "colludes with failures": lambda text, _: winner(*(-good(part) for part in parts(text))),
    "answers prose": lambda text, _: "?",
}


def judge(rule: Callable[[str, int], str]) -> Judge:
    async def ask(prompt: Prompt, sample: int) -> JudgeReply:
        return JudgeReply(reply(rule, prompt.user, sample))

    return Judge(ask, name="scripted")


def reply(rule: Callable[[str, int], str], text: str, sample: int) -> str:
    if "work B, diff begins" in text:
        return json.dumps({"reasoning": "r", "winner": rule(text, sample)})
    value = 9 if good(text) > 0 else 1
    return json.dumps({"reasoning": "r", "scores": dict.fromkeys(RUBRIC, value)})


async def test_a_good_judge_has_nothing_against_it() -> None:
    found = await audit_judge(judge(RULES["good"]), pairs())
    assert found.findings == ()
    assert found.auc.low is not None and found.auc.low > 0.7
    assert found.kappa is not None and found.kappa > 0.4
    assert (found.true_positive.value, found.false_positive.value) == (1.0, 0.0)
    assert found.consistent.value == 1.0
    assert found.invalid == 0 and found.calls > 0


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("always A", "place"),
        ("always longer", "length"),
        ("obeys what works say", "injection"),
        ("random", "agreement"),
        ("random", "chance"),
        ("colludes with failures", "agreement"),
        ("answers prose", "no valid answer"),
    ],
)
async def test_a_bad_judge_is_found_out_by_what_it_goes_by(name: str, word: str) -> None:
    random.seed(4)
    found = await audit_judge(judge(RULES[name]), pairs())
    assert any(word in finding for finding in found.findings), found.findings


async def test_a_judge_that_got_worse_is_told_so_on_the_same_pairs() -> None:
    before = (await audit_judge(judge(RULES["good"]), pairs())).as_dict()
    same = await audit_judge(judge(RULES["good"]), pairs(), earlier=before)
    assert same.drift is not None and (same.drift["worse"], same.drift["p"]) == (0, 1.0)
    random.seed(1)
    worse = await audit_judge(judge(RULES["random"]), pairs(), earlier=before)
    assert any(finding.startswith("drift") for finding in worse.findings)


async def test_one_task_gives_no_interval_and_so_no_trust() -> None:
    found = await audit_judge(judge(RULES["good"]), pairs()[:2])
    assert found.auc.low is None
    assert any("one task" in finding for finding in found.findings)


async def test_without_pairs_there_is_nothing_to_measure() -> None:
    with pytest.raises(ConfigError, match="no labelled pairs"):
        await audit_judge(judge(RULES["good"]), [])


def test_the_pairs_of_a_run_are_solved_against_failed_of_one_task(make_run) -> None:
    store = make_run(
        make_record(0, "solved", diff="+ good 1\n"),
        make_record(1, "failed", diff="+ bad 1\n"),
        make_record(2, "failed", diff="+ good 1\n"),  # the same change: a flaky verdict is no label
        make_record(3, "infra_error"),
        make_record(0, "failed", rollout_id="other", diff="+ bad 2\n"),
    )
    found = labelled_pairs(store.path, 4)
    assert [(pair.task, pair.better.diff, pair.worse.diff) for pair in found] == [
        ("cart-total", "+ good 1\n", "+ bad 1\n")
    ]


def test_a_broken_label_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    row = {"task": "t", "instruction": "i", "better": {"diff": "a"}, "worse": {"diff": "b"}}
    path.write_text(json.dumps(row) + "\n\n" + '{"task": "t"}\n')
    with pytest.raises(ConfigError, match=r"labels.jsonl:3: no labelled pair"):
        pairs_from_labels(path)


def test_the_command_writes_a_calibration_that_lets_a_good_judge_decide(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    sides = {"better": "better", "worse": "worse"}
    labels.write_text(
        "".join(
            json.dumps(
                {
                    "task": p.task,
                    "instruction": p.instruction,
                    **{k: vars(getattr(p, v)) for k, v in sides.items()},
                }
            )
            + "\n"
            for p in pairs()
        )
    )

    def answer(request: ModelRequest) -> str:
        return reply(RULES["good"], request.body["messages"][-1]["content"], 0)

    with LoopbackModelServer(answer) as server:
        policy = {"name": "openai", "options": {"model": "small", "base_url": server.url + "/v1"}}
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"judge": {"policy": policy}}))
        out = tmp_path / "calibration.json"
        done = CliRunner().invoke(
            app, ["audit", "judge", str(config), "--labels", str(labels), "--out", str(out), "--json"]
        )
    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    assert told["judge"].startswith("openai/small/") and told["auc"]["low"] > 0.55 and told["findings"] == []
    from rollouts.config import JudgeConfig
    from rollouts.judging import may_decide

    assert may_decide(JudgeConfig.model_validate({"policy": policy, "calibration": str(out)}))[0]


@pytest.mark.parametrize(
    "what", ["a directory", "no directory", "no calibration", "another judge", "other pairs"]
)
def test_what_is_wrong_with_the_files_is_told_before_anything_is_asked(what: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    row = {"task": "t", "instruction": "i", "better": {"diff": "+ good"}, "worse": {"diff": "+ bad"}}
    labels.write_text(json.dumps(row) + "\n")
    policy = {"name": "openai", "options": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    (tmp_path / "c.yaml").write_text(json.dumps({"judge": {"policy": policy}}))
    earlier = tmp_path / "earlier.json"
    name = judge_name(JudgeConfig.model_validate({"policy": policy}))
    known = {"judge": name, "auc": {"low": 0.5}, "findings": [], "outcomes": {"other/pair/x": 1.0}}
    arguments, words = {
        "a directory": (["--out", str(tmp_path)], "not a file that can be written"),
        "no directory": (["--out", str(tmp_path / "no" / "c.json")], "not a file that can be written"),
        "no calibration": (["--against", str(earlier)], "is no calibration"),
        "another judge": (["--against", str(earlier)], "is of the judge x"),
        "other pairs": (["--against", str(earlier)], "none of its pairs"),
    }[what]
    told = {"no calibration": [], "another judge": known | {"judge": "x"}}.get(what, known)
    earlier.write_text(json.dumps(told))
    done = CliRunner().invoke(
        app, ["audit", "judge", str(tmp_path / "c.yaml"), "--labels", str(labels), *arguments]
    )
    assert isinstance(done.exception, ConfigError) and words in str(done.exception)
