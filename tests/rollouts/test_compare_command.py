"""`rollouts compare` over runs on disk: what is paired, what is refused, what is told and drawn."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
import yaml
from factories import make_record
from rich.console import Console
from small_tasks import FAIL, SOLVE, write_task
from typer.testing import CliRunner

from ranking import mcnemar_mid_p
from rollouts.audits import (
    compare_runs,
    headline,
    plan_from_assumptions,
    plan_from_runs,
    print_comparisons,
    print_plan,
)
from rollouts.cli import app
from rollouts.errors import ConfigError
from rollouts.records import BranchRecord
from rollouts.store import RunStore
from rollouts.views.compare_plot import Pictured, write_plot

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = {"+": "solved", "-": "failed", "t": "truncated", "x": "infra_error", "p": "policy_error"}
MakeRun = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> MakeRun:
    """A run directory: a string a task, a letter a seed; and records added as they are."""

    def make(name: str, tasks: Sequence[str], *more: BranchRecord, **fields: str) -> Path:
        with RunStore.create(tmp_path / name, "branches: 4\n", run_id=f"{name}-1", sync=False) as store:
            writer = store.writer("driver")
            for number, letters in enumerate(tasks):
                for seed, letter in enumerate(letters):
                    task = f"task-{number:02d}"
                    assert writer.append(make_record(seed, ENDINGS[letter], rollout_id=task, **fields))
            for record in more:
                assert writer.append(record)
        return tmp_path / name

    return make


def rollouts(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rollouts", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def told(paths: Sequence[Path]) -> str:
    out = Console(file=StringIO(), width=160)
    print_comparisons(compare_runs(paths), out)
    return out.file.getvalue()


def test_two_real_runs_are_compared_by_task_and_seed(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    for name, scripts in (("a", [SOLVE, FAIL]), ("b", [SOLVE])):
        config = {
            "tasks": str(tmp_path / "tasks"),
            "branches": 4,
            "policy": {"name": "scripted", "options": {"branches": scripts}},
            "engine": {"kind": "inline"},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
        assert rollouts("run", tmp_path / f"{name}.yaml", "--out", tmp_path / name).returncode == 0
    done = rollouts("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    failed = sum(r.result.ending == "failed" for r in RunStore.open(tmp_path / "a").branches())
    assert 0 < failed < 4
    assert (found["delta_pp"], found["b"], found["c"], found["seeds"]) == (25.0 * failed, 0, failed, 4)
    assert (found["n_tasks"], found["p"], found["ci_low_pp"]) == (1, 1.0, None)
    assert found["tasks"][0]["task_id"] == "adder"


def test_the_json_has_its_documented_keys(run: MakeRun) -> None:
    a, b = run("a", ["-", "+", "-", "+"]), run("b", ["+", "+", "+", "x"])
    found = json.loads(rollouts("compare", a, b, "--json").stdout)
    assert {
        *("delta_pp", "ci_low_pp", "ci_high_pp", "p", "p_adjusted", "test", "b", "c", "n_tasks", "seeds"),
        *("n_missing_a", "n_missing_b", "delta_low_worst_pp", "delta_high_worst_pp", "mdd_pp", "tasks"),
    } <= found.keys()
    assert (found["test"], found["b"], found["c"], found["n_missing_b"]) == ("mcnemar_mid_p", 0, 2, 1)
    assert found["p"] == found["p_adjusted"] == mcnemar_mid_p(0, 2)
    assert (found["delta_low_worst_pp"], found["delta_high_worst_pp"]) == (25.0, 50.0)
    assert found["tasks"][3] == {
        **{"task_id": "task-03", "pairs": 0, "mean_a": None, "mean_b": None, "delta_pp": None},
        **{"b": 0, "c": 0, "missing_a": 0, "missing_b": 1},
    }


def test_the_sentence_says_what_was_found_and_what_could_have_been(run: MakeRun) -> None:
    a = run("base", ["+-+-"] * 12 + ["++--"] * 12)
    b = run("tuned", ["++--"] * 12 + ["+++-"] * 4 + ["++--"] * 8)
    [found] = compare_runs([a, b])
    assert headline(found) == (
        "tuned solves 4.2 pp more than base (95 % interval +0.0 to +8.3; p = 0.0502, task-clustered "
        "(Obuchowski)): inconclusive; with this design 5.7 pp would have been found in 80 % of cases"
    )
    [same] = compare_runs([a, run("again", ["+-+-"] * 12 + ["++--"] * 12)])
    assert "again solves as much as base" in headline(same)
    assert "inconclusive" in headline(same)


def test_the_same_outcomes_in_two_runs_are_no_difference(run: MakeRun) -> None:
    [found] = compare_runs([run("a", ["+-", "--"]), run("b", ["+-", "--"])])
    assert (found.result.delta_pp, found.result.p) == (0.0, 1.0)


def test_a_run_is_not_compared_with_itself_nor_with_its_copy(run: MakeRun, tmp_path: Path) -> None:
    a = run("a", ["+"])
    (tmp_path / "link").symlink_to(a)
    for other in (a, tmp_path / "link"):
        with pytest.raises(ConfigError, match="are one run"):
            compare_runs([a, other])
    with pytest.raises(ConfigError, match="give two runs"):
        compare_runs([a])


def test_seeds_that_only_one_run_has_are_named_and_the_way_out_is_told(run: MakeRun) -> None:
    a, b = run("a", ["+-", "++"]), run("b", ["+-", "+++"])
    done = rollouts("compare", a, b)
    assert done.returncode == 2
    assert "only the second has task-01 seed 2" in done.stderr
    assert "--tasks-only" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_task_means_are_compared_when_seeds_do_not_correspond(run: MakeRun) -> None:
    a, b = run("a", ["+-", "++", "--"]), run("b", ["+--+", "+++-", "+"])
    [found] = compare_runs([a, b], by="task")
    assert found.result.delta_pp == pytest.approx(100 * (0 - 0.25 + 1) / 3)
    assert (found.result.test, found.result.b) == ("sign_flip", None)


def test_other_tasks_are_an_error_whatever_is_paired(run: MakeRun) -> None:
    a, b = run("a", ["+"]), run("b", ["+", "+"])
    for by in ("seed", "task"):
        with pytest.raises(ConfigError, match="only the second has task-01"):
            compare_runs([a, b], by=by)


def test_a_task_whose_files_changed_is_not_the_same_task(run: MakeRun) -> None:
    a, b = run("a", ["+"]), run("b", ["+"], instruction="Another wording.")
    with pytest.raises(ConfigError, match="task task-00 is not the same in"):
        compare_runs([a, b])


def test_branches_forked_from_others_are_left_out_and_counted(run: MakeRun) -> None:
    parent = make_record(0, "solved", rollout_id="task-09")
    child = make_record(1, "failed", rollout_id="task-09", parent=parent, fork_step=2)
    a, b = run("a", [], parent, child), run("b", [], parent)
    [found] = compare_runs([a, b])
    assert (found.result.n_pairs, found.first.forked, found.second.forked) == (1, 1, 0)
    assert "1 branches forked from others left out" in told([a, b])


def test_what_the_machinery_failed_is_missing_and_what_the_budget_cut_off_is_not(run: MakeRun) -> None:
    a, b = run("a", ["+", "t", "x", "p"]), run("b", ["+", "+", "+", "+"])
    [found] = compare_runs([a, b])
    assert (found.result.n_pairs, found.result.c, found.result.n_missing_a) == (2, 1, 2)
    assert "1 branches cut off by their budget count as not solved" in told([a, b])
    assert "missing of the first, of the second" in told([a, b])


def test_rewards_are_compared_as_scores(run: MakeRun) -> None:
    [found] = compare_runs([run("a", ["-", "-", "+"]), run("b", ["+", "-", "+"])], metric="reward")
    assert found.result.delta_pp == pytest.approx(100 * (2 / 3) / 3)
    assert found.result.test == "sign_flip"


def test_several_runs_against_the_first_are_corrected(run: MakeRun) -> None:
    a = run("a", ["-"] * 12)
    others = [run("b", ["+"] * 7 + ["-"] * 5), run("c", ["+"] * 6 + ["-"] * 6)]
    found = compare_runs([a, *others])
    assert [each.p_adjusted for each in found] == pytest.approx(
        [2 * mcnemar_mid_p(0, 7), mcnemar_mid_p(0, 6)]
    )
    assert "p, corrected (Holm)" in told([a, *others])
    listed = json.loads(rollouts("compare", a, *others, "--json").stdout)["comparisons"]
    assert [each["run_id_b"] for each in listed] == ["b-1", "c-1"]
    assert listed[0]["ci_low_simultaneous_pp"] < listed[0]["ci_low_pp"]


def test_names_that_repeat_are_told_by_their_path(run: MakeRun, tmp_path: Path) -> None:
    a = run("a", ["+"])
    (tmp_path / "x").mkdir()
    moved = run("b", ["-"]).rename(tmp_path / "x" / "a")
    assert [compare_runs([a, moved])[0].name_a, compare_runs([a, moved])[0].name_b] == [str(a), str(moved)]


def test_a_plan_says_how_many_tasks_each_number_of_seeds_needs(run: MakeRun) -> None:
    planned = plan_from_assumptions(5, 0.3, 0.1)
    assert [(row.seeds, row.tasks) for row in planned.rows] == [(1, 938), (2, 516), (4, 306), (8, 201)]
    out = Console(file=StringIO(), width=120)
    print_plan(plan_from_assumptions(40, 0.3, 0.1), out)
    assert "impossible" in out.file.getvalue()
    [found] = compare_runs([run("a", ["+-"] * 60), run("b", ["-+"] * 20 + ["+-"] * 40)])
    assert found.result.spread is not None
    seen = plan_from_runs(10, found, None, None)
    assert seen.spread.discordance == pytest.approx(1 / 3)
    assert "seen in 120 pairs of 60 tasks" in seen.basis
    assert plan_from_runs(10, found, 0.5, 0.2).spread.icc == 0.2


def test_few_tasks_do_not_promise_that_seeds_will_do(run: MakeRun) -> None:
    [found] = compare_runs([run("a", ["+-"] * 10), run("b", ["-+"] * 4 + ["+-"] * 6)])
    planned = plan_from_runs(10, found, None, None)
    assert planned.spread.icc == 0.1
    assert "assumed" in planned.basis


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give two runs"),
        (["--plan", "5"], "needs --discordant"),
        (["--plan", "500", "--discordant", "0.3"], "at most 100"),
        (["--plan", "5", "--discordant", "3"], "at most 1"),
        (["--discordant", "0.3", "nowhere"], "belong to --plan"),
        (["nowhere", "there"], "no such run directory"),
        (["nowhere", "there", "--metric", "speed"], "solved or reward"),
        (["nowhere", "there", "--plot", "x.gif"], "a name that ends with .svg, .png, .html"),
        (["nowhere", "there", "--plot", "no/where/x.svg"], "is no directory"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments: list[str], words: str) -> None:
    error = CliRunner().invoke(app, ["compare", *arguments]).exception
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    assert words in str(error)


def test_the_command_prints_draws_and_plans(run: MakeRun, tmp_path: Path) -> None:
    a, b = run("a", ["+-", "--", "++"]), run("b", ["++", "+-", "x+"])
    done = rollouts("compare", a, b, "--plot", tmp_path / "plot.svg", "--plan", "10")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "plot.svg")
    for words in ("b solves", "95 % interval", "difference, whatever was missing", "seeds a task"):
        assert words in done.stdout


def test_many_tasks_are_all_in_the_picture_and_few_have_names(run: MakeRun, tmp_path: Path) -> None:
    for count in (3, 200):
        a, b = run(f"a{count}", ["-"] * count), run(f"b{count}", ["+"] * (count - 1) + ["-"])
        drawn = write_plot([_pictured(a, b)], tmp_path / "plot.svg").read_text()
        bars = [
            e for e in ET.fromstring(drawn).iter() if e.get("class") == "better" and e.tag.endswith("rect")
        ]
        assert len(bars) == count - 1
        assert (">task-00<" in drawn) == (count == 3)
        assert ("199 better" in drawn) == (count == 200)


def test_a_task_name_is_text_in_the_picture_never_markup(run: MakeRun, tmp_path: Path) -> None:
    evil = '</text><script>alert("x")</script>\x00\x1b[31m'
    records = [make_record(0, ending, rollout_id="r", task_id=evil) for ending in ("solved", "failed")]
    a, b = run("a", [], records[0]), run("b", [], records[1])
    ET.fromstring(write_plot([_pictured(a, b)], tmp_path / "plot.svg").read_text())
    drawn = write_plot([_pictured(a, b)], tmp_path / "plot.html").read_text()
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


def test_the_picture_is_drawn_as_pixels_by_a_browser(run: MakeRun, tmp_path: Path) -> None:
    from PIL import Image

    a, b = run("a", ["-"] * 8), run("b", ["+"] * 6 + ["-"] * 2)
    with Image.open(write_plot([_pictured(a, b)], tmp_path / "plot.png")) as image:
        assert image.width == 1800
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert (0x2F, 0x5F, 0xD0) in colours  # the bars of the better tasks


def _pictured(a: Path, b: Path) -> Pictured:
    [found] = compare_runs([a, b])
    return Pictured(found.name_a, found.name_b, headline(found), found.result)
