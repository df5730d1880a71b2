"""The function behind `rollouts comply`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from test_comply import GOOD, TASKS

from rollouts.config import options_from
from rollouts.errors import ConfigError
from rollouts.exports import export
from rollouts.policies.loopback import Fault, LoopbackModelServer
from rollouts.repair import RepairSettings
from rollouts.repair.command import run_comply, settings_of
from rollouts.store import RunStore

SCRIPT = {
    "branches": [["See you on Friday in the kitchen"], ["I would rather talk about Zebras, sorry."]],
}


async def test_it_runs_tasks_by_path_and_tells_rates_with_their_intervals(tmp_path: Path):
    plan = {
        "modes": ("direct", "prompt_retry", "full_pcl"),
        "policy": "scripted",
        "options": SCRIPT,
        "ids": ("stair-notice", "platform-sign"),
        "seeds": (1,),
    }
    report = await run_comply(str(TASKS), tmp_path / "out", **plan)
    assert (report.result.written, report.result.resumed, report.unreadable) == (6, 0, ())
    rates = {mode.mode: mode.pass_rate.mean for mode in report.figures.modes}
    assert rates == {"direct": 0.0, "prompt_retry": 0.5, "full_pcl": 0.5}
    assert report.lines()[0].startswith("mode")
    assert "full_pcl against prompt_retry on 2 tasks: 0 better, 0 worse, 2 equal" in report.lines()[-1]
    assert json.loads(json.dumps(report.as_dict()))["written"] == 6
    again = await run_comply(str(TASKS), tmp_path / "out", **plan)
    assert (again.result.written, again.result.resumed, again.branches) == (0, 6, 0)
    assert again.figures == report.figures


async def test_what_it_wrote_goes_through_the_ordinary_gate_and_exports(tmp_path: Path):
    quiet = RepairSettings(patches=False)
    given = {
        "policy": "scripted",
        "options": SCRIPT,
        "ids": ("stair-notice",),
        "seeds": (1,),
        "settings": quiet,
    }
    await run_comply(str(TASKS), tmp_path, **given)
    with RunStore.open(tmp_path / "run") as store:
        assert export(store, "sft", tmp_path / "data", fmt=("jsonl",)).rows == 1
        assert export(store, "dpo", tmp_path / "data", fmt=("jsonl",)).rows == 1


async def test_an_unknown_mode_and_broken_tasks_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="mode 'full': unknown; known: direct, prompt_retry, full_pcl"):
        await run_comply(str(TASKS), tmp_path, modes=("full",), policy="scripted")
    broken = tmp_path / "tasks" / "one"
    broken.mkdir(parents=True)
    (broken / "instruction.md").write_text("x")
    (broken / "task.toml").write_text('[[metadata.rollout_fork.constraints]]\nid = "a"\nmethod = "b"\n')
    with pytest.raises(
        ConfigError, match=r"task\.toml:1: constraint 1 \(a\): no constraint method named 'b'"
    ):
        await run_comply(str(tmp_path / "tasks"), tmp_path / "out", policy="scripted")


async def command(*arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `rollouts comply`."""
    call = [sys.executable, "-m", "rollouts", "comply", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*call, stdout=-1, stderr=-1)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def asking(server: LoopbackModelServer) -> list[str]:
    options = ("model=small", f"base_url={server.url}/v1", "max_retries=0")
    return [part for option in options for part in ("--option", option)]


async def test_where_no_answer_has_an_outcome_the_command_ends_with_1_and_says_why(tmp_path: Path):
    ids = ("--task", "stair-notice", "--task", "platform-sign")
    async with LoopbackModelServer(
        lambda _: "x", faults=dict.fromkeys(range(99), Fault.status(500))
    ) as server:
        code, out, err = await command("suite:constraints", "--out", tmp_path, *ids, *asking(server))
        assert (code, err) == (1, "")
        assert "missing: 2 x server: small: " in out
        code, out, _ = await command("suite:constraints", "--out", tmp_path, *ids, *asking(server), "--json")
    assert code == 1
    ((reason, count),) = json.loads(out)["missing_reasons"].items()
    assert reason.startswith("server: small: ") and count == 2


async def test_one_outcome_is_enough_to_end_with_0_and_what_is_missing_is_still_told(tmp_path: Path):
    ids = ("--task", "stair-notice", "--task", "platform-sign")
    async with LoopbackModelServer(lambda _: GOOD["stair-notice"], faults={0: Fault.status(500)}) as server:
        code, out, _ = await command(
            "suite:constraints", "--out", tmp_path, *ids, *asking(server), "--mode", "direct"
        )
    assert code == 0
    assert "missing: 1 x server: small: " in out


async def test_what_an_endpoint_says_of_its_failure_is_one_line_without_control_characters(tmp_path: Path):
    script = {"replies": [{"error": "down\x1b[31m\nred"}]}
    report = await run_comply(str(TASKS), tmp_path, policy="scripted", options=script, ids=["stair-notice"])
    assert report.lines()[-1] == "missing: 1 x down [31m red: scripted failure at turn 0"
    assert not report.counted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rounds", "-1"), "--rounds -1: Input should be greater than or equal to 0"),
        (("--seconds", "nan"), "--seconds nan: Input should be a finite number"),
        (("--option", "model"), "--option model: expected name=value, for instance --option model=..."),
        (("--policy", "openai"), "--option of 'openai': model is needed, for instance --option model=..."),
        (("--policy", "mutation"), "--policy: the policy 'mutation' does not answer questions"),
    ],
)
async def test_a_wrong_option_of_the_command_is_one_line_and_exit_code_2(tmp_path: Path, arguments, words):
    code, out, err = await command("suite:constraints", "--out", tmp_path, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", -1),
        ("rounds", 101),
        ("tokens", 0),
        ("seconds", -1.0),
        ("seconds", 0.0),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
    ],
)
def test_a_bound_that_is_none_is_told_with_its_option(name, value):
    with pytest.raises(ConfigError, match=f"^--{name} {value}: "):
        settings_of(**{name: value})


@pytest.mark.parametrize("given", ["model", "=x", ""])
def test_an_option_of_the_policy_that_cannot_be_read_is_told(given):
    with pytest.raises(ConfigError, match=r"^--option"):
        options_from([given])


def test_options_of_the_policy_are_read_as_values_with_sections():
    assert options_from(["model=m", "max_retries=0", "price.input=1.5"]) == {
        "model": "m",
        "max_retries": 0,
        "price": {"input": 1.5},
    }
    with pytest.raises(ConfigError, match=r"^--option a\.b=2: a is a value"):
        options_from(["a=1", "a.b=2"])


@pytest.mark.parametrize(
    ("policy", "options", "words"),
    [
        ("opeani", {}, "^--policy: no policy named 'opeani'; did you mean openai"),
        (
            "openai",
            {"model": "m", "modle": "m"},
            "^--option of 'openai': unknown option modle; did you mean model",
        ),
        ("scripted", {"file": "/nowhere.yaml"}, "^--option file: /nowhere.yaml cannot be read"),
        (
            "openai",
            {"model": "m", "extra_body": {"a": float("nan")}},
            "^--option of 'openai': extra_body: .*JSON",
        ),
    ],
)
async def test_errors_about_the_policy_name_the_options_of_the_command(
    tmp_path: Path, policy, options, words
):
    with pytest.raises(ConfigError, match=words):
        await run_comply(str(TASKS), tmp_path, policy=policy, options=options)


async def test_equal_modes_and_seeds_are_one(tmp_path: Path):
    report = await run_comply(
        str(TASKS),
        tmp_path,
        policy="scripted",
        options=SCRIPT,
        ids=("stair-notice", "stair-notice"),
        modes=("direct", "direct"),
        seeds=(1, 1),
    )
    assert (report.result.written, report.result.resumed, report.figures.modes[0].records) == (1, 0, 1)
