"""Reading tasks: Harbor's layout, JSONL lists, the bundled suite; and clear words for what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from envs.dockerfile import TOOLS
from envs.errors import TaskError
from envs.load import load_tasks
from envs.task import Task
from envs.task_lint import lint
from kernel_pool import CopyIn, RunStep


def make(root: Path, name: str = "sum", *, toml: str = "", **files: str) -> Path:
    """A task directory; keys of `files` have `__` for `/`."""
    home = root / name
    for part in ("environment", "tests"):
        (home / part).mkdir(parents=True)
    (home / "instruction.md").write_text("Make it work.\n")
    (home / "task.toml").write_text(toml)
    (home / "tests" / "test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
    for path, text in files.items():
        target = home / path.replace("__", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return home


def only(path: Path) -> Task:
    found = load_tasks(path)
    assert not found.problems, [str(p) for p in found.problems]
    assert len(found) == 1
    return found.tasks[0]


def complaint(path: Path) -> str:
    found = load_tasks(path)
    assert not found.tasks
    return "\n".join(map(str, found.problems))


def test_the_bundled_suite_loads_without_a_problem_or_a_doubt() -> None:
    suite = load_tasks("suite")
    assert suite.problems == ()
    assert len(suite) >= 20
    assert {task.id: lint(task) for task in suite if lint(task)} == {}


def test_every_honoured_key_arrives_in_the_task(tmp_path: Path) -> None:
    home = make(
        tmp_path,
        toml="""
            schema_version = "1.4"
            [task]
            name = "org/adding"
            [metadata]
            category = "maths"
            difficulty = "easy"
            [metadata.rollout_fork]
            visible_tests = "pytest -q tests"
            hidden_tests = "python -m pytest /tests"
            language = "python"
            group = "train"
            visual.pages = [{ path = "index.html", checks = [{ id = "h", kind = "visible", selector = "h1" }] }]
            [agent]
            timeout_sec = 30
            [verifier]
            timeout_sec = 12.5
            env = { MODE = "strict", TOKEN = "${HOST_TOKEN}" }
            [environment]
            workdir = "/srv/code"
            memory_mb = 512
            env = { LANG = "C" }
            [solution]
            env = { A = "b" }
        """,
    )
    task = only(home)
    assert (task.id, task.language, task.group, task.difficulty) == ("adding", "python", "train", "easy")
    assert task.visible_tests == "pytest -q tests" and task.agent_timeout_s == 30
    assert task.tests and task.tests.result == "pytest" and task.tests.timeout_s == 12.5
    assert task.tests.env == {"MODE": "strict"}, "nothing of the host's environment goes in"
    assert task.base.workdir == task.tests.workdir == "/srv/code" and task.base.env == {"LANG": "C"}
    assert task.base.steps == (CopyIn(home / "environment", "/srv/code"),)
    assert (
        task.metadata["category"] == "maths"
        and task.metadata["rollout_fork"]["visual"]["pages"][0]["path"] == "index.html"
    )
    assert task.metadata["toml"]["solution"] == {"env": {"A": "b"}}, "unknown keys are kept"
    assert any("memory_mb" in note for note in task.environment_notes)


def test_a_plain_harbor_task_is_verified_by_its_reward_file(tmp_path: Path) -> None:
    task = only(make(tmp_path))
    assert task.tests and (task.tests.command, task.tests.result) == ("bash /tests/test.sh", "reward")
    assert (task.id, task.base.workdir) == ("sum", "/app")


@pytest.mark.parametrize(
    ("command", "result"),
    [("pytest /tests", "pytest"), ("python3.11 -m pytest -q /tests", "pytest"), ("make -C /tests", "exit")],
)
def test_a_hidden_command_is_judged_by_pytest_results_or_by_its_exit_code(
    tmp_path: Path, command: str, result: str
) -> None:
    task = only(make(tmp_path, toml=f'[metadata.rollout_fork]\nhidden_tests = "{command}"\n'))
    assert task.tests and task.tests.result == result


@pytest.mark.parametrize(
    ("toml", "line", "words"),
    [
        (
            'x = 1\n[agent]\ntimeout_sec = "soon"\n',
            3,
            "agent.timeout_sec must be a number of seconds, not a string",
        ),
        ("[agent]\ntimeout_sec = -1\n", 2, "positive"),
        ("[environment]\n\nworkdir = 5\n", 3, "environment.workdir must be a string"),
        ("[environment.env]\nA = 1\n", 2, "environment.env.A must be a string (NAME"),
        ("environment = 3\n", 1, "environment must be a table"),
        ("[metadata.rollout_fork]\nlangauge = 'c'\n", 2, "did you mean language?"),
        ("[metadata]\nrollout_fork.visible_tests = true\n", 2, "must be a string, not a boolean"),
        ("[metadata.rollout_fork]\nhidden_tests = ' '\n", 2, "is empty"),
        (
            "[metadata.rollout_fork.visual]\n[[metadata.rollout_fork.visual.pages]]\npath='i'\n",
            2,
            "checks: Field required",
        ),
        (
            "[metadata.rollout_fork]\n\nvisual.root = '.'\nvisual.pagse = []\n",
            4,
            "pagse: is not a known key; did you mean pages?",
        ),
        (
            "a = 1\n[metadata.rollout_fork.visual]\nimages = [{id='a', path='a.png', reference='a.png'}]\n",
            2,
            "tests/a.png, which is not there",
        ),
        ("a = 1\nb = = 2\n", 2, "is no TOML"),
        ('[task]\nname = "org/../up"\n[x]\n', None, ""),
        ('[task]\nname = "org/a b"\n', 2, "no usable id"),
        ("[environment]\nworkdir = 'app'\n", 2, "must be absolute"),
        ("[environment]\ndocker_image = 'ghcr.io/x/y'\n", 2, "this back-end runs no images"),
        ("[[steps]]\nname = 'one'\n", 1, "multi-step"),
        ("[environment]\nworkdir = '/app/../etc'\n", 2, "without `..`"),
        ("[environment]\ncpus = 'many'\n", 2, "environment.cpus is wrong"),
        ("[environment]\n\nnetwork_mode = 'none'\n", 3, "environment.network_mode is wrong"),
        ("[task]\nkeywords = 'one'\n", 2, "task.keywords is wrong"),
        ("[solution.env]\nA = 1\n", 1, "solution.env is wrong"),
        ("[environment]\n[environment.healthcheck]\ncommand='x'\n", 2, "healthcheck is not understood"),
    ],
)
def test_what_is_wrong_in_task_toml_is_told_with_its_line(
    tmp_path: Path, toml: str, line: int | None, words: str
) -> None:
    home = make(tmp_path, toml=toml)
    if line is None:
        assert only(home).id == "up"
        return
    told = complaint(home)
    assert told.startswith(f"{home}/task.toml:{line}: ") and words in told


def test_keys_that_change_nothing_here_are_told_and_the_build_has_its_time(tmp_path: Path) -> None:
    task = only(
        make(
            tmp_path,
            toml="[agent]\nuser = 'me'\n[environment]\nbuild_timeout_sec = 7\nenv = { PATH = '/opt/bin' }\n",
            environment__Dockerfile="FROM debian\nWORKDIR /app\nRUN true\n",
        )
    )
    assert any(note.startswith("agent.user is not used") for note in task.environment_notes)
    assert [s.limits.wall_s for s in task.base.steps if isinstance(s, RunStep)] == [7]
    assert task.base.env["PATH"] == f"/opt/bin:{TOOLS}"


def test_all_problems_of_a_task_are_told_at_once(tmp_path: Path) -> None:
    home = make(tmp_path, toml="[agent]\ntimeout_sec = 'x'\n[verifier]\ntimeout_sec = 'y'\n")
    assert len(load_tasks(home).problems) == 2


def test_a_broken_task_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    make(tmp_path, "a")
    (make(tmp_path, "b") / "instruction.md").unlink()
    make(tmp_path, "c", toml='[task]\nname = "org/a"\n')
    found = load_tasks(tmp_path)
    assert [task.id for task in found] == ["a"]
    assert [str(p).replace(str(tmp_path), "") for p in found.problems] == [
        "/b/instruction.md: is missing",
        f"/c: the id a is taken: {tmp_path}/a has it".replace(str(tmp_path), ""),
    ]


def test_links_out_of_a_task_are_not_followed(tmp_path: Path) -> None:
    home = make(tmp_path)
    (home / "instruction.md").unlink()
    (home / "instruction.md").symlink_to("/etc/passwd")
    assert "links are not followed" in complaint(home)
    other = make(tmp_path, "other")
    (other / "tests" / "test.sh").unlink()
    (other / "tests").rmdir()
    (other / "tests").symlink_to("/etc")
    assert "must be a directory" in complaint(other)


def test_a_pipe_in_a_task_is_reported_and_not_read(tmp_path: Path) -> None:
    home = make(tmp_path)
    os.mkfifo(home / "environment" / "pipe")
    assert "neither file, directory nor link" in complaint(home)


@pytest.mark.parametrize("change", ["content", "mode", "name", "link"])
def test_the_digest_names_the_content(tmp_path: Path, change: str) -> None:
    first, second = make(tmp_path, "one", environment__a="x"), make(tmp_path, "two", environment__a="x")
    assert only(first).digest == only(second).digest
    file = second / "environment" / "a"
    match change:
        case "content":
            file.write_text("y")
        case "mode":
            file.chmod(0o755)
        case "name":
            file.rename(file.with_name("b"))
        case "link":
            file.unlink()
            file.symlink_to("x")
    assert only(first).digest != only(second).digest


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere", "no such path"), ("empty", "holds no tasks"), ("pipe", "neither a directory")],
)
def test_a_path_without_tasks_is_an_error(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskError, match=words):
        load_tasks(tmp_path / path)


def test_ids_choose_tasks_and_an_unknown_one_names_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "sorting")
    make(tmp_path, "summing")
    assert [task.id for task in load_tasks(tmp_path, ["summing"])] == ["summing"]
    with pytest.raises(TaskError, match="did you mean sorting"):
        load_tasks(tmp_path, ["sortign"])


def test_a_list_holds_inline_tasks_and_directories_beside_it(tmp_path: Path) -> None:
    make(tmp_path, "beside")
    inline = {
        "id": "inline",
        "instruction": "Do it.",
        "files": {"src/a.py": "print(1)\n", "run.sh": "#!/bin/sh\n"},
        "tests": {"test_a.py": "def test(): pass\n"},
        "visible_tests": "make check",
        "source": "elsewhere",
    }
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(inline) + "\n\n" + json.dumps({"path": "beside"}) + "\n")
    cache = tmp_path / "cache"
    found = load_tasks(path, cache=cache)
    assert [task.id for task in found] == ["inline", "beside"] and not found.problems
    task = found["inline"]
    assert task.tests and task.tests.result == "pytest"
    assert task.visible_tests == "make check" and task.metadata == {"source": "elsewhere"}
    (copy,) = task.base.steps
    assert isinstance(copy, CopyIn) and (copy.source / "src" / "a.py").read_text() == "print(1)\n"
    assert os.access(copy.source / "run.sh", os.X_OK)
    assert load_tasks(path, cache=cache).tasks[0] == task, "found again, not written twice"
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"id": "a"}', "instruction: Field required"),
        ('{"id": "a/b", "instruction": "x"}', "id: "),
        ('{"id": "a", "instruction": 5}', "instruction: Input should be a valid string"),
        ('{"id": "a", "instruction": "x", "files": {"../up": ""}}', "stays inside"),
        ('{"id": "a", "instruction": "x", "files": {"/etc/x": ""}}', "stays inside"),
        ('{"id": "a", "instruction": "x", "tests": {"check.py": ""}}', "say `hidden_tests`"),
        ('{"id": "a", "instruction": "x", "files": {"d": "", "d/e": ""}}', "cannot be written"),
        ('{"id": "a", "instruction": "x", "workdir": "/app/.."}', "workdir: "),
        ('{"id": "a", "instruction": "x", "timeout_s": 1e300}', "timeout_s: "),
        ('{"id": "a", "instruction": "x", "rollout_fork": 1}', "rollout_fork: must be an object"),
        ('{"path": "../.."}', "leads outside"),
        ('{"path": "gone"}', "is no directory"),
    ],
)
def test_a_wrong_line_of_a_list_is_told_with_its_number(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f"\n{line}\n" + '{"id": "good", "instruction": "x"}\n')
    found = load_tasks(path, cache=tmp_path / "cache")
    assert [task.id for task in found] == ["good"]
    assert str(found.problems[0]).startswith(f"{path}:2: ") and words in str(found.problems[0])
    assert not list((tmp_path / "cache").glob(".new-*"))


def test_lint_finds_what_would_spoil_a_task(tmp_path: Path) -> None:
    secret = "def test_sum():\n    assert add(1, 2) == 3\n"
    home = make(
        tmp_path,
        toml='[metadata.rollout_fork]\nvisible_tests = "pytest /tests"\nhidden_tests = "pytest /tests"\n',
        environment__notes__copy_of_tests="x" + secret[1:],
        tests__test_sum="x" + secret[1:],
        solution__readme="no script",
    )
    (home / "instruction.md").write_text(" \n")
    told = "\n".join(lint(only(home)))
    for words in ("told nothing", "same command", "names /tests", "an agent can read it", "has no solve.sh"):
        assert words in told
    assert lint(only(make(tmp_path, "fine"))) == []


def test_lint_says_that_nothing_verifies_a_task_only_when_nothing_does(tmp_path: Path) -> None:
    visual = (
        '[[metadata.rollout_fork.visual.pages]]\npath = "index.html"\n'
        'checks = [{ id = "h", kind = "selector", selector = "h1" }]\n'
    )
    for name, toml, doubts in (
        ("seen", visual, []),
        ("blind", "", ["there are no hidden tests: nothing can be verified"]),
    ):
        home = make(tmp_path, name, toml=toml)
        shutil.rmtree(home / "tests")
        assert lint(only(home)) == doubts


def test_the_starter_part_of_the_suite_is_24_of_its_tasks_and_can_be_narrowed() -> None:
    starter = {task.id for task in load_tasks("suite:starter").tasks}
    assert len(starter) == 24 and starter < {task.id for task in load_tasks("suite").tasks}
    assert [task.id for task in load_tasks("suite:starter", ["lru-cache"]).tasks] == ["lru-cache"]
