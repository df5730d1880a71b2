"""The parts of the mutation policy: localisation, candidates, choice, edits, and what test output means."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.tools import ToolSpec
from envs.trajectory import Message
from rollouts.errors import ConfigError
from rollouts.policies.mutation import (
    DEFAULTS,
    NAMES,
    MutationPolicy,
    candidates,
    edits,
    gradient,
    hints,
    lines,
    outcome,
    spectrum,
    weights,
)
from rollouts.policies.mutation.spectrum import Failure, Spectrum
from rollouts.records import Sampling

PROGRAM = '''\
LIMIT = 3


def clip(values, limit=LIMIT):
    """Values up to a limit, é included."""
    out = []
    for index in range(len(values)):
        value = values[index]
        if value < limit and not value == None:
            out.append(value)
        else:
            break
    return out


def unused(a):
    return a
'''
TESTS = """\
from prog import clip


def test_limit_is_kept():
    assert clip([1, 3]) == [1, 3]


def test_small_values():
    assert clip([1, 2]) == [1, 2]
"""


def localise(folder: Path, program: str = PROGRAM, tests: str = TESTS) -> Spectrum:
    """Run the real localisation command the way the sandbox does."""
    (folder / "prog.py").write_text(program, encoding="utf-8")
    (folder / "test_prog.py").write_text(tests, encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", spectrum.command([])], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert len(done.stdout) < 8000
    found = spectrum.parse(f"exit code 0\n{done.stdout}")
    assert found is not None
    return found


def all_lines(program: str) -> Spectrum:
    """A spectrum in which one failing test ran every line."""
    every = dict.fromkeys(range(1, program.count("\n") + 2), (1, 0))
    return Spectrum(1, 1, (Failure("t", "AssertionError", "assert 1 == 2", ()),), {"prog.py": every})


def results(program: str) -> set[str]:
    """Every file that one candidate edit makes of a program."""
    pool = candidates.pool({"prog.py": program}, all_lines(program))
    return {program[: e.start] + e.new + program[e.end :] for e in pool.edits}


def test_the_localisation_counts_failing_and_passing_tests_per_line(tmp_path: Path) -> None:
    found = localise(tmp_path)
    assert (found.failed, found.passed) == (1, 1)
    assert found.lines["prog.py"][9] == (1, 1)  # the condition: both tests
    assert found.lines["prog.py"][12] == (1, 0)  # the break: the failing one alone
    assert 17 not in found.lines["prog.py"]
    assert 1 in found.module["prog.py"]
    assert found.ochiai("prog.py", 12) == 1.0
    assert found.ochiai("prog.py", 9) == pytest.approx(1 / math.sqrt(2))
    assert found.failures[0].message.startswith("assert [1] == [1, 3]")


def test_the_localisation_ends_a_test_that_hangs_and_still_says_which_lines_it_ran(tmp_path: Path) -> None:
    program = "def wait(n):\n    while n:\n        n += 1\n    return n\n"
    found = localise(
        tmp_path, program, "from prog import wait\n\n\ndef test_it():\n    assert wait(1) == 0\n"
    )
    assert [failure.exc for failure in found.failures] == ["Hang"]
    assert found.lines["prog.py"][3] == (1, 0)


def test_the_localisation_leaves_no_file_behind(tmp_path: Path) -> None:
    localise(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["prog.py", "test_prog.py"]


def test_a_file_that_does_not_parse_is_localised_from_the_collection_error(tmp_path: Path) -> None:
    found = localise(tmp_path, "def clip(values:\n    return values\n")
    assert found.failed == 1
    assert found.files() == ["prog.py"]
    assert "SyntaxError" in found.failures[0].exc


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if a < b:\n    c = 1\n", "if a <= b:\n    c = 1\n"),
        ("for i in range(n):\n    f(i)\n", "for i in range(1, n + 1):\n    f(i)\n"),
        ("x = gcd(a % b, b)\n", "x = gcd(b, a % b)\n"),
        ("é = 'ü' + s[i]\n", "é = 'ü' + s[i + 1]\n"),
        ("ok = a and b\n", "ok = a or b\n"),
        (
            "def f(x, y=[]):\n    return y\n",
            "def f(x, y=None):\n    if y is None:\n        y = []\n    return y\n",
        ),
        ("def f(s):\n    s.strip()\n    return s\n", "def f(s):\n    s = s.strip()\n    return s\n"),
        ("grid = [[0] * n] * m\n", "grid = [[0] * n for _ in range(m)]\n"),
        (
            "def f(x):\n    for a in x:\n        b = a\n        return b\n",
            "def f(x):\n    for a in x:\n        b = a\n    return b\n",
        ),
        ("c = f - 32 * 5 / 9\n", "c = (f - 32) * 5 / 9\n"),
        ("n = 0\ndef f():\n    n += 1\n", "n = 0\ndef f():\n    global n\n    n += 1\n"),
        ("z = len(a) * [0]\n", "z = (len(a) - 1) * [0]\n"),
        (
            "def f(a, n):\n    if n < 0 or n == 9:\n        return 0\n    return f(a[1:], n)\n",
            "def f(a, n):\n    if n < 0 or n == 9 or not a:\n        return 0\n    return f(a[1:], n)\n",
        ),
        (
            "def f(a, n):\n    while n or a[n]:\n        n -= 1\n",
            "def f(a, n):\n    while a and (n or a[n]):\n        n -= 1\n",
        ),
        ("def f(n):\n    return []\n", "def f(n):\n    return [n]\n"),
        (
            "def f(a):\n    r = f(a[1:])\n    return [x + 1 for x in r]\n",
            "def f(a):\n    r = f(a[1:])\n    return r + [x + 1 for x in r]\n",
        ),
        (
            "def f(a, k):\n    for x in a:\n        g(x)\n",
            "def f(a, k):\n    for x in a[k:]:\n        g(x)\n",
        ),
        (
            "def f(a):\n    s = []\n    for x in a:\n        if x:\n            g(s)\n    return s\n",
            "def f(a):\n    s = []\n    for x in a:\n        if x:\n            g(s)\n"
            "            s.append(x)\n    return s\n",
        ),
        ("def f(x):\n    return x.sort()\n", "def f(x):\n    x.sort()\n    return x\n"),
    ],
)
def test_common_bugs_have_their_repair_among_the_candidates(before: str, after: str) -> None:
    assert after in results(before)


def test_every_candidate_is_a_program_and_none_is_the_program_itself() -> None:
    made = results(PROGRAM)
    assert len(made) > 150
    assert PROGRAM not in made
    for program in made:
        ast.parse(program)


def test_sources_in_other_languages_are_changed_token_by_token() -> None:
    program = "int main(void) {\n    for (int i = 0; i <= 9; i++)\n        a[i] = i;\n}\n"
    made = {program[: m.start] + m.new + program[m.end :] for m in lines.mutations(program)}
    assert program.replace("<=", "<") in made
    assert program.replace("9", "8") in made


def test_a_failure_off_by_one_speaks_for_boundaries_and_a_missing_result_for_a_return() -> None:
    boundary = hints.read([("AssertionError", "assert 3 == 4")]).families
    assert boundary["strict"] > boundary.get("return", 0.0)
    lost = hints.read([("AssertionError", "assert None == [1]")]).families
    assert max(lost, key=lambda family: lost[family]) == "return"
    assert "leght" in hints.read([("NameError", "name 'leght' is not defined")]).names


@pytest.mark.parametrize(
    ("text", "failing", "passed"),
    [
        ("exit code 1\n..F\n1 failed, 2 passed in 0.03s\n", 1, 2),
        ("exit code 1\n=== 1 failed, 2 passed, 1 error in 0.03s ===\n", 2, 2),
        ("exit code 0\n3 passed in 0.03s\n", 0, 3),
        ("exit code 1\n3 passed in 0.03s\n", 1, 3),
        ("exit code 5\nno tests ran in 0.00s\n", 1, None),
        ("exit code 1\nRan 3 tests in 0.001s\n\nFAILED (failures=1, errors=1)\n", 2, 1),
        ("exit code 0\nRan 3 tests in 0.001s\n\nOK\n", 0, 3),
        ("exit code 0\nall good\n", 0, None),
        ("exit code 2\nmake: *** [test] Error 1\n", 1, None),
        ("timed out after 5 s\n", None, None),
        ("", None, None),
    ],
)
def test_the_number_of_failing_tests_is_read_from_the_output(
    text: str, failing: int | None, passed: int | None
) -> None:
    found = outcome.parse(text)
    assert (found.failing, found.passed) == (failing, passed)
    assert found.green == (failing == 0)


def test_fewer_failures_are_no_progress_when_tests_went_missing() -> None:
    before = outcome.parse("exit code 1\n2 failed, 3 passed in 1s\n")
    assert outcome.parse("exit code 1\n1 failed, 4 passed in 1s\n").better_than(before)
    assert not outcome.parse("exit code 2\n1 error in 1s\n").better_than(before)
    assert not outcome.parse("timed out after 5 s\n").better_than(before)


text_lines = st.lists(st.sampled_from(["a\n", "b\n", "    a\n", "c"]), max_size=8).map("".join)


@given(text_lines, text_lines)
def test_an_edit_between_two_texts_matches_once_and_gives_the_second(current: str, target: str) -> None:
    edit = edits.between(current, target)
    if edit is None:
        assert current == target or not current
        return
    old, new = edit
    where = current.index(old)
    assert old and current.find(old, where + 1) < 0
    assert current[:where] + new + current[where + len(old) :] == target


def test_the_recorded_event_gives_the_numerical_gradient_of_the_log_probability() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(7, len(NAMES)))
    w, temperature, chosen = rng.normal(size=len(NAMES)) * 0.1, 0.7, 3
    log_p, p = weights.probabilities(features, w, temperature)
    assert p.sum() == pytest.approx(1.0)
    event = {
        "features": weights.named(features[chosen]),
        "mean_features": weights.named(p @ features),
        "temperature": temperature,
    }
    found = gradient(json.loads(json.dumps(event)))
    step = 1e-6
    for column in range(0, len(NAMES), 9):
        moved = w.copy()
        moved[column] += step
        numeric = (weights.probabilities(features, moved, temperature)[0][chosen] - log_p[chosen]) / step
        assert found[column] == pytest.approx(numeric, abs=1e-4)


def test_draws_follow_the_probabilities_and_temperature_zero_takes_the_best() -> None:
    features = np.zeros((3, len(NAMES)))
    features[:, 0] = [0.0, 1.0, 2.0]
    w = np.zeros(len(NAMES))
    w[0] = 1.0
    _, p = weights.probabilities(features, w, 1.0)
    rng = Random(0)
    share = np.bincount([weights.draw(p, rng) for _ in range(4000)], minlength=3) / 4000
    assert np.abs(share - p).max() < 0.03
    log_p, p = weights.probabilities(features, w, 0.0)
    assert (log_p[2], weights.draw(p, rng)) == (0.0, 2)


def test_weights_come_from_a_mapping_or_a_json_file_and_unknown_features_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text('{"ochiai": 9.5}')
    assert weights.vector(path)[weights.COLUMN["ochiai"]] == 9.5
    assert weights.vector(path)[weights.COLUMN["hint"]] == DEFAULTS["hint"]
    with pytest.raises(ConfigError, match="unknown feature 'ochia'"):
        MutationPolicy(weights={"ochia": 1.0})
    with pytest.raises(ConfigError, match="must be a finite number"):
        MutationPolicy(weights={"ochiai": float("nan")})
    with pytest.raises(ConfigError, match=r"nowhere\.json: cannot be read"):
        MutationPolicy(weights=tmp_path / "nowhere.json")


def test_branches_that_would_be_the_same_are_refused_and_unused_settings_are_told() -> None:
    policy = MutationPolicy()
    assert policy.check([Sampling(seed=1), Sampling(seed=2)]) == []
    assert policy.check([Sampling(seed=1), Sampling(seed=1, temperature=0.5)]) == []
    with pytest.raises(ConfigError, match="branches 0 and 2 have the same seed"):
        policy.check([Sampling(seed=1), Sampling(seed=2), Sampling(seed=1, temperature=1.0)])
    with pytest.raises(ConfigError, match="temperature 0"):
        policy.check([Sampling(seed=1, temperature=0), Sampling(seed=2, temperature=0)])
    assert "effort" in policy.check([Sampling(seed=1, effort="high")])[0]


async def test_test_runs_are_bounded_where_the_tool_takes_a_bound() -> None:
    def tools(properties: dict[str, object]) -> list[ToolSpec]:
        names = ("bash", "read_file", "edit_file", "run_tests", "submit")
        return [ToolSpec(name, "", {"properties": properties}) for name in names]

    opening = [Message(role="user", content="Mend it.")]
    for properties, arguments in (({"timeout_s": {}}, {"timeout_s": 20.0}), ({}, {})):
        reply = await MutationPolicy().act(opening, tools(properties), Sampling(seed=1))
        assert [call.arguments for call in reply.message.tool_calls] == [arguments]


async def test_without_its_tools_the_policy_says_so_and_calls_none() -> None:
    reply = await MutationPolicy().act([], [ToolSpec("submit", "", {})], Sampling(seed=1))
    assert (reply.finish, reply.message.tool_calls) == ("stop", ())
    assert "run_tests" in reply.message.content
