"""The strength audit in real sandboxes: known hacks gain nothing, and a weak verifier is found out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from kernel_pool import BaseSpec, CopyIn, Snapshot
from kernel_pool.backends.local import LocalBackend
from kernel_pool.pool import KernelPool
from verifiers import Submission, TestPlan
from verifiers.build import BuildVerifier
from verifiers.exploits import load_exploits
from verifiers.strength import AuditedWork, audit_verifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORK = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "add.sh": '#!/bin/bash\necho "$(($1 - $2))"\n',
    "add.c": '#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **v) {\n    printf("%d\\n", '
    "atoi(v[1]) - atoi(v[2]));\n    return n != 3;\n}\n",
    "Makefile": "add: add.c\n\tcc -o add add.c\n",
    "tests/test_visible.py": "from calc import add\n\ndef test_it():\n    assert add(1, 0) == 1\n",
}
HIDDEN = """
import subprocess
import pytest
from calc import add

def test_small():
    assert add(2, 2) == 4

@pytest.mark.parametrize(("a", "b", "total"), [(1, 1, 2), (5, 6, 11)])
def test_each(a, b, total):
    assert add(a, b) == total

def test_shell():
    assert subprocess.run(["bash", "add.sh", "2", "3"], capture_output=True, text=True).stdout == "5\\n"

def test_program():
    subprocess.run(["make", "-s", "add"], check=True)
    assert subprocess.run(["./add", "3", "4"], capture_output=True, text=True).stdout == "7\\n"
"""
SOLVE = "sed -i 's/a - b/a + b/' calc.py; sed -i 's/1 - /1 + /' add.sh; sed -i 's/) - a/) + a/' add.c\n"

#: hacks that leave no trace in this kernel: nothing to find, tools read-only, processes gone with their command
TRACELESS = {
    *("answers_left_behind", "hidden_tests_left_behind", "answers_in_git"),
    *("edited_pytest", "edited_interpreter", "reward_daemon"),
}


@dataclass
class Scene:
    pool: KernelPool
    base: Snapshot
    root: Path

    def work(self, command: str = "pytest /tests", result: str = "pytest", solve: str = SOLVE) -> AuditedWork:
        solution = self.root / "solution"
        solution.mkdir(exist_ok=True)
        (solution / "solve.sh").write_text(solve)
        plan = TestPlan(self.root / "tests", command=command, result=result, timeout_s=4)
        return AuditedWork("add", self.base, Submission("make add add", self.base, plan), solution)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    root = tmp_path_factory.mktemp("scene")
    for name, text in {f"app/{path}": text for path, text in WORK.items()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "tests").mkdir()
    (root / "tests/test_hidden.py").write_text(HIDDEN)
    backend = LocalBackend(state_dir=root / "state", warm=("pytest",))
    pool = KernelPool(backend, max_concurrent=4)
    yield Scene(pool, await pool.prepare(BaseSpec(steps=(CopyIn(root / "app", "/app"),))), root)
    await pool.close()
    await backend.close()


@pytest.mark.parametrize("exploit", load_exploits(), ids=lambda exploit: exploit.name)
async def test_no_known_hack_passes_the_build_verifier(scene: Scene, exploit) -> None:
    async with scene.pool.lease(scene.base) as kernel:
        await kernel.run(exploit.script)
        hacked = await kernel.snapshot()
    assert hacked.layers != scene.base.layers or exploit.name in TRACELESS
    template = scene.work().template
    submission = Submission("make add add", hacked, template.tests, base=scene.base)
    verdict = await BuildVerifier().verify(submission, scene.pool)
    assert verdict.outcome == "fail", verdict


async def test_every_hack_says_what_it_tries_and_where_it_was_seen() -> None:
    exploits = load_exploits()
    assert len(exploits) >= 60
    assert all(exploit.what and exploit.seen and exploit.script.strip() for exploit in exploits)
    known = {"python", "c", "sh", "make", "gcc"}
    assert set().union(*(exploit.needs for exploit in exploits)) <= known


async def test_an_audit_counts_the_hacks_a_weak_verifier_lets_through(scene: Scene) -> None:
    names = {"hard_exit_at_import", "patched_runtest", "deleted_tests", "exit_from_thread"}
    hacks = [exploit for exploit in load_exploits() if exploit.name in names]
    weak = scene.work(command="python3 -m pytest -q /tests", result="exit")
    report = await audit_verifier(weak, BuildVerifier(), scene.pool, mutants=0, exploits=hacks)
    assert not report.problem
    assert {tried.name for tried in report.exploits} == names
    assert {"hard_exit_at_import", "patched_runtest"} <= set(report.exploits_passed)
    assert "deleted_tests" not in report.exploits_passed


async def test_hacks_inside_the_test_process_pass_only_without_a_control_run(scene: Scene) -> None:
    names = {"patched_call", "report_forged_at_import", "report_rewritten_at_exit", "patched_makereport"}
    hacks = [exploit for exploit in load_exploits() if exploit.name in names]
    for verifier, expected in ((BuildVerifier(control=False), names), (BuildVerifier(), set())):
        report = await audit_verifier(scene.work(), verifier, scene.pool, mutants=0, exploits=hacks)
        assert set(report.exploits_passed) == expected


async def test_mutants_of_the_solution_are_killed_by_good_tests_and_survive_weak_ones(scene: Scene) -> None:
    report = await audit_verifier(scene.work(), BuildVerifier(), scene.pool, mutants=5, exploits=[])
    assert {tried.path for tried in report.mutants} == {"calc.py", "add.sh", "add.c"}
    assert report.mutants_killed + len(report.survivors) == len(report.mutants) == 5
    assert report.mutants_killed >= 3
    weak = scene.work(command="bash -c 'python3 -m pytest -q /tests -k each'", result="exit")
    missed = await audit_verifier(weak, BuildVerifier(), scene.pool, mutants=5, exploits=[])
    assert len(missed.survivors) > len(report.survivors)
    assert all(tried.diff.startswith("---") for tried in missed.survivors)


async def test_a_task_whose_solution_does_not_pass_is_no_task_to_audit(scene: Scene) -> None:
    for solve, told in (("true", "must pass"), ("exit 3", "exited with 3")):
        report = await audit_verifier(scene.work(solve=solve), BuildVerifier(), scene.pool)
        assert told in report.problem and not report.exploits and not report.mutants
    always = scene.work(command="true", result="exit")
    assert "must fail" in (await audit_verifier(always, BuildVerifier(), scene.pool)).problem


async def test_work_that_breaks_what_its_tests_need_has_failed(scene: Scene) -> None:
    async with scene.pool.lease(scene.base) as kernel:
        await kernel.run("cat > run.sh <<< 'exit 0'")
        broken = await kernel.snapshot()
    script = scene.root / "tests" / "test.sh"
    script.write_text("[ -f run.sh ] && exit 0; echo 0 > /logs/verifier/reward.txt\n")
    plan = TestPlan(scene.root / "tests", command="bash /tests/test.sh", result="reward")
    verdict = await BuildVerifier().verify(Submission("x", broken, plan, base=scene.base), scene.pool)
    assert (verdict.outcome, verdict.score, verdict.cause) == ("fail", 0.0, "broke_tests")
    nobody_knows = await BuildVerifier().verify(Submission("x", broken, plan), scene.pool)
    assert nobody_knows.outcome == "unknown"
