"""A declared pytest command, pinned so that files in the workspace change nothing: run for real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from verifiers import TestPlan
from verifiers.junit import base_name, parse_report
from verifiers.known_tests import known_tests
from verifiers.pytest_command import environment, pytest_call

HIDDEN = "from calc import add\n\ndef test_add():\n    assert add(2, 2) == 4\n"
FORGE = """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""


@pytest.fixture
def plan(tmp_path: Path) -> TestPlan:
    for name in ("app", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "app" / "calc.py").write_text("def add(a, b):\n    return 5\n")
    (tmp_path / "tests" / "test_hidden.py").write_text(HIDDEN)
    return TestPlan(
        directory=tmp_path / "tests",
        target=str(tmp_path / "tests"),
        command=f"{sys.executable} -m pytest {tmp_path}/tests",
        result="pytest",
        workdir=str(tmp_path / "app"),
    )


def run(plan: TestPlan, tmp_path: Path) -> dict[str, str]:
    """Outcome by test, from the report, as the verifier reads it."""
    report = tmp_path / "report.xml"
    report.unlink(missing_ok=True)
    call = pytest_call(plan, str(report))
    env = {"PATH": "/usr/bin:/bin", **environment(plan)}
    subprocess.run(call.argv, cwd=plan.workdir, env=env, capture_output=True, check=False, timeout=60)
    return {check.id: check.outcome for check in parse_report(report.read_bytes())}


def test_a_failing_solution_fails_and_a_fixed_one_passes(plan, tmp_path):
    assert run(plan, tmp_path) == {"test_hidden::test_add": "fail"}
    (tmp_path / "app" / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    assert run(plan, tmp_path) == {"test_hidden::test_add": "pass"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("app/conftest.py", FORGE),
        ("conftest.py", FORGE),
        ("app/pytest.ini", "[pytest]\naddopts = -p forge\n"),
        ("pytest.ini", "[pytest]\naddopts = --collect-only\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "--collect-only"\n'),
        ("app/setup.cfg", "[tool:pytest]\naddopts = --collect-only\n"),
        ("app/tox.ini", "[pytest]\naddopts = --collect-only\n"),
        ("app/pytest.py", "raise SystemExit(0)\n"),
        ("app/_pytest/__init__.py", "raise SystemExit(0)\n"),
        ("app/sitecustomize.py", "raise SystemExit(0)\n"),
        ("app/usercustomize.py", "raise SystemExit(0)\n"),
        ("app/test_hidden.py", "def test_add():\n    pass\n"),
        ("app/tests/test_hidden.py", "def test_add():\n    pass\n"),
        ("app/evil-1.0.dist-info/entry_points.txt", "[pytest11]\nevil = forge\n"),
    ],
)
def test_planted_files_change_nothing(plan, tmp_path, path, content):
    planted = tmp_path / path
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(content)
    (tmp_path / "app" / "forge.py").write_text(FORGE)
    assert run(plan, tmp_path) == {"test_hidden::test_add": "fail"}


def test_the_tests_own_conftest_and_configuration_are_used(plan, tmp_path):
    (tmp_path / "tests" / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef four():\n    return 4\n"
    )
    (tmp_path / "tests" / "pytest.ini").write_text("[pytest]\npython_functions = check_*\n")
    (tmp_path / "tests" / "test_hidden.py").write_text("def check_it(four):\n    assert four == 4\n")
    assert run(plan, tmp_path) == {"test_hidden::check_it": "pass"}


def test_a_command_that_collects_what_the_work_could_change_is_refused(plan, tmp_path):
    for command in ("pytest tests/", "pytest ../elsewhere/test_x.py", "make test", "bash /tests/test.sh", ""):
        with pytest.raises(ValueError, match=r"collects|not a pytest call|empty"):
            pytest_call(TestPlan(**{**vars(plan), "command": command}), "r.xml")


def test_without_a_path_the_mounted_tests_are_collected_and_not_the_workspaces(plan):
    call = pytest_call(
        TestPlan(**{**vars(plan), "command": "pytest -x --junitxml=/app/r.xml -k add"}), "/l/r.xml"
    )
    assert call.paths == (".",)
    assert call.argv[-2:] == (plan.target, "--junitxml=/l/r.xml")
    assert "--junitxml=/app/r.xml" not in call.argv
    assert not call.complete


def test_the_tests_known_from_the_files_are_exactly_those_that_report(plan, tmp_path):
    (tmp_path / "tests" / "sub").mkdir()
    (tmp_path / "tests" / "sub" / "test_more.py").write_text(
        "import sys, unittest, pytest\n"
        "@pytest.fixture\ndef test_data():\n    return 1\n"
        "@pytest.mark.parametrize('x', [1, 2])\ndef test_each(x, test_data):\n    pass\n"
        "class TestGroup:\n    def test_in(self):\n        pass\n    def helper(self):\n        pass\n"
        "class TestNot:\n    def __init__(self, x):\n        pass\n    def test_no(self):\n        pass\n"
        "class Old(unittest.TestCase):\n    def testOld(self):\n        pass\n"
        "if sys.platform == 'win32':\n    def test_windows():\n        pass\n"
        "@pytest.mark.skipif(True, reason='never')\ndef test_marked():\n    pass\n"
        "async def helper():\n    pass\n"
    )
    known = known_tests(plan.directory)
    assert known.required == {base_name(identity) for identity in run(plan, tmp_path)}
    assert known.may_skip == {"sub.test_more::test_marked"}


def test_links_and_files_that_do_not_parse_add_nothing(tmp_path):
    (tmp_path / "test_broken.py").write_text("def test_(:\n")
    (tmp_path / "test_nul.py").write_bytes(b"def test_x():\n    '\0'\n")
    (tmp_path / "test_deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    (tmp_path / "outside").mkdir()
    (tmp_path / "test_link.py").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert known_tests(tmp_path).required == set()
