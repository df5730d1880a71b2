"""A batch of compliance runs: the bundled constraint tasks, appended to one file, resumable."""

from __future__ import annotations

from pathlib import Path

import pytest
from repair_support import says

import envs
from envs.load import load_tasks
from envs.task import Task
from envs.task_lint import lint
from rollouts.errors import ConfigError
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.repair import RepairSettings
from rollouts.repair.batch import FILE, comply, constraints_of, read_records
from rollouts.repair.statistics import figures
from rollouts.store import Problems
from verifiers.constraints import Artifact, evaluate

TASKS = Path(envs.__file__).parent / "suite" / "constraint_tasks"
GOOD = {
    "stair-notice": "On Friday evening from six to eight there is no water in any kitchen while a pipe is replaced.",
    "recipe-card": '{"dish": "lentil soup", "serves": 4, "ingredients": ["300 g red lentils", "1 onion", '
    '"2 carrots", "1 teaspoon cumin", "1.2 l vegetable stock", "1 lemon", "2 tablespoons olive oil"], "steps": '
    '["Chop the onion and the carrots.", "Warm the oil and fry both for five minutes.", "Add the cumin and stir '
    'for one minute.", "Add the lentils and the stock and simmer for twenty minutes.", "Serve with lemon juice."]}',
    "bakery-slogans": "Bread before the birds are up.\n******\nYou sleep, and our bread is awake.",
    "dankesbrief": "Liebe Frau Krause, vielen Dank für Ihre Hilfe in den letzten drei Wochen. Alle Pflanzen sind "
    "gesund. Die Tomaten tragen sogar schon Früchte. Kommen Sie doch am Sonntag zum Kaffee zu uns!",
    "cycling-checklist": "<<before the ride>>\n* helmet\n* water\n* pump\n* map\n* rain jacket\nHave a safe ride.",
    "quiet-poem": "the harbour sleeps beneath the fog\na gull is standing on the pier\n***\nthe boats are rocking "
    "side by side\nand no one else is here\n***\nthen light comes over the water\nand the gull cries loud and clear",
    "invoice-reminder": "Dear [name], our invoice [number] of [date] is *still open*.\n\nPerhaps it was "
    "overlooked, and a short look is enough.\n\nThank you for your help. P.S. Call us with any question.",
    "platform-sign": '"FOR YOUR SAFETY PLEASE WAIT BEHIND THE YELLOW LINE UNTIL THE TRAIN HAS STOPPED"',
}


def tasks() -> tuple[Task, ...]:
    found = load_tasks(TASKS)
    assert found.problems == ()
    return found.tasks


def test_the_bundled_constraint_tasks_load_without_a_doubt_and_leave_the_suite_alone():
    assert {task.id: lint(task) for task in tasks()} == {name: [] for name in GOOD}
    assert not set(GOOD) & {task.id for task in load_tasks("suite")}


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.id)
def test_a_bundled_task_can_be_met_and_a_text_about_something_else_does_not_meet_it(task):
    constraints = constraints_of(task)
    found = evaluate(constraints, {None: Artifact.of(GOOD[task.id])})
    assert (found.violations, found.score) == ((), 1.0)
    assert not evaluate(constraints, {None: Artifact.of("I would rather talk about Zebras, sorry.")}).passed


def answers(messages, sampling):
    """Knows the answer to every task, and gives it when it is asked again."""
    text = messages[-1].content
    if "Not met" not in text:
        return "I would rather talk about Zebras, sorry."
    return next(GOOD[task.id] for task in tasks() if task.instruction in text)


async def test_a_batch_writes_each_task_mode_and_seed_once_and_resumes(tmp_path: Path):
    policy = ScriptedPolicy.of(answers)
    plan = {"modes": ("direct", "full_pcl"), "seeds": (0, 1)}
    first = await comply(tasks()[:3], policy, tmp_path, **plan)
    again = await comply(tasks(), policy, tmp_path, **plan)
    assert (first.written, first.resumed) == (12, 0)
    assert (again.written, again.resumed) == (20, 12)
    records = list(read_records(tmp_path / FILE))
    assert len({record.key for record in records}) == len(records) == 32
    found = figures(records)
    assert [mode.pass_rate.mean for mode in found.modes] == [0.0, 1.0]
    assert found.differences[0].tasks == 8


async def test_a_torn_line_is_repaired_and_its_record_made_again(tmp_path: Path):
    policy = ScriptedPolicy.of(answers)
    await comply(tasks()[:3], policy, tmp_path, modes=("direct",))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-40])
    result = await comply(tasks()[:3], policy, tmp_path, modes=("direct",))
    problems = Problems()
    assert (result.written, len(list(read_records(path, problems))), len(problems)) == (1, 3, 0)


async def test_missing_records_are_tried_again_and_the_later_one_counts(tmp_path: Path):
    broken = await comply(tasks()[:1], says({"error": "down"}), tmp_path)
    assert (broken.written, broken.missing) == (1, 1)
    mended = await comply(tasks()[:1], ScriptedPolicy.of(answers), tmp_path)
    assert (mended.written, mended.missing) == (1, 0)
    (record,) = read_records(tmp_path / FILE)
    assert record.final_pass is True


async def test_other_settings_in_the_same_directory_are_refused(tmp_path: Path):
    await comply(tasks()[:1], says("x"), tmp_path, modes=("direct",))
    with pytest.raises(ConfigError, match=r"begun with other settings \(rounds\); choose another --out"):
        await comply(tasks()[:1], says("x"), tmp_path, settings=RepairSettings(rounds=1))


async def test_a_task_without_constraints_is_refused_by_name(tmp_path: Path):
    (task,) = load_tasks("suite", ["roman-numerals"])
    with pytest.raises(ConfigError, match="task roman-numerals: brings no constraints"):
        await comply([task], says("x"), tmp_path)
