"""The build verifier in real sandboxes: honest work passes, tricks gain nothing."""

from __future__ import annotations

import hashlib
import time

import pytest

from kernel_pool import KernelError
from verifiers import Part, Pipeline, Submission
from verifiers.build import BuildVerifier
from verifiers.selfcheck import check_verifier

FIX = "sed -i 's/a - b/a + b/' calc.py"
verifier = BuildVerifier()


async def test_fixed_work_passes_with_every_test_reported(work, pool):
    submission = await work(FIX)
    verdict = await verifier.verify(submission, pool)
    assert (verdict.outcome, verdict.score, verdict.exit_code, verdict.ended) == ("pass", 1.0, 0, "exited")
    assert {check.id for check in verdict.checks} == {
        "test_hidden::test_small",
        "test_hidden::test_zero",
        "test_hidden.TestLarge::test_large",
    }
    assert verdict.state == submission.snapshot.digest
    assert verdict.seconds > 0
    assert "3 passed" in verdict.log


async def test_partly_right_work_fails_with_the_fraction_of_tests_that_passed(work, pool):
    verdict = await verifier.verify(await work(), pool)
    assert (verdict.outcome, verdict.score) == ("fail", pytest.approx(1 / 3))
    failed = {check.id: check.message for check in verdict.checks if check.outcome == "fail"}
    assert set(failed) == {"test_hidden::test_small", "test_hidden.TestLarge::test_large"}
    assert "assert 0 == 4" in failed["test_hidden::test_small"]


PASS_ALL = (
    "import pytest\n"
    "@pytest.hookimpl(hookwrapper=True)\n"
    "def pytest_runtest_makereport(item, call):\n"
    "    outcome = yield\n"
    "    outcome.get_result().outcome = 'passed'\n"
)


TRICKS = [
    "rm -rf test_visible.py; echo 'def test_it(): pass' > test_visible.py",
    f'cat > conftest.py <<"E"\n{PASS_ALL}E\ncp conftest.py /conftest.py; cp conftest.py /tests/conftest.py',
    "printf '[pytest]\\naddopts = --collect-only\\n' > pytest.ini; cp pytest.ini /pytest.ini",
    "for d in . /; do printf '[tool.pytest.ini_options]\\naddopts = \"-k nothing\"\\n' > $d/pyproject.toml; done",
    "echo 'raise SystemExit(0)' > pytest.py; cp pytest.py sitecustomize.py; cp pytest.py usercustomize.py",
    "mkdir -p /tests; echo 'def test_small(): pass' > /tests/test_hidden.py",
    "rm -rf /tests; ln -s /app /tests; cp test_visible.py test_hidden.py",
    "d=$(python3 -c 'import site; print(site.getusersitepackages())'); mkdir -p $d; "
    "echo 'import os; os._exit(0)' > $d/evil.pth",
    "export PYTEST_ADDOPTS=--collect-only PYTHONPATH=/app; pytest() { true; }; python3() { true; }; "
    "alias python3=true; PATH=/app:$PATH; printf '#!/bin/sh\\nexit 0\\n' > python3; chmod +x python3; cp python3 pytest",
    "(while true; do mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt; sleep 0.01; done) & disown",
    "echo 'import os; os._exit(0)' >> calc.py",
    "echo 'raise SystemExit(0)' >> calc.py",
    "echo 'import pytest; pytest.skip(\"not here\", allow_module_level=True)' >> calc.py",
    "echo 'import pytest; pytest.exit(\"done\", 0)' >> calc.py",
    "mkdir -p evil-1.0.dist-info; printf '[pytest11]\\nevil = forge\\n' > evil-1.0.dist-info/entry_points.txt; "
    "printf 'Name: evil\\nVersion: 1.0\\n' > evil-1.0.dist-info/METADATA; "
    f'cat > forge.py <<"E"\n{PASS_ALL}E\n',
    "rm -rf /logs; ln -s /app /logs",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_tricks_gain_nothing(work, pool, trick):
    verdict = await verifier.verify(await work(trick), pool)
    assert verdict.outcome == "fail", verdict
    assert verdict.score < 0.5


@pytest.mark.parametrize("trick", [trick for trick in TRICKS if "calc.py" not in trick])
async def test_the_same_files_beside_honest_work_do_no_harm(work, pool, trick):
    verdict = await verifier.verify(await work(FIX, trick), pool)
    assert verdict.passed, verdict


async def test_honest_work_passes_although_the_agents_shell_is_in_disorder(work, pool):
    submission = await work(FIX, "cd /; python3() { false; }; export PATH=/nowhere PYTHONHOME=/nowhere")
    assert (await verifier.verify(submission, pool)).passed


async def test_code_that_ends_the_test_process_has_failed_with_score_0(work, pool):
    verdict = await verifier.verify(await work(FIX, "echo 'import os; os._exit(0)' >> calc.py"), pool)
    assert (verdict.outcome, verdict.score, verdict.exit_code) == ("fail", 0.0, 0)
    assert "no usable report" in verdict.reason


async def test_skipping_from_the_work_is_no_pass_and_a_declared_skip_is_no_failure(work, pool, tests_dir):
    skip = "printf 'import pytest\\ndef add(a, b):\\n    pytest.skip()\\n' > calc.py"
    verdict = await verifier.verify(await work(skip), pool)
    assert (verdict.outcome, verdict.score) == ("fail", 0.0)
    (tests_dir / "test_more.py").write_text(
        "import pytest\n\n@pytest.mark.skip(reason='elsewhere')\ndef test_later():\n    assert False\n"
    )
    assert (await verifier.verify(await work(FIX), pool)).passed


async def test_a_hang_is_a_failure_of_the_work_and_ends_at_the_time_limit(work, pool):
    submission = await work("echo 'while True: pass' >> calc.py", timeout_s=1.5)
    start = time.monotonic()
    verdict = await verifier.verify(submission, pool)
    assert time.monotonic() - start < 8
    assert (verdict.outcome, verdict.score, verdict.ended) == ("fail", 0.0, "timeout")
    assert "1.5 s" in verdict.reason


async def test_a_flood_of_output_is_shortened_in_the_log_and_its_digest_kept(work, pool):
    flood = "printf 'print(\"x\" * 3000000)\\ndef add(a, b):\\n    return a + b\\n' > calc.py"
    verdict = await verifier.verify(await work(flood, command="pytest -s /tests"), pool)
    assert verdict.passed
    assert len(verdict.log) < 10_000
    assert len(verdict.log_digest) == 64
    assert verdict.log_digest != hashlib.sha256(verdict.log.encode()).hexdigest()


async def test_a_workspace_that_is_gone_is_a_failure(work, pool):
    verdict = await verifier.verify(await work("rm -rf /app/* && cd / && rmdir /app"), pool)
    assert (verdict.outcome, verdict.infra) == ("fail", False)


async def test_a_reward_file_decides_when_declared(work, pool, tests_dir):
    script = "cd /app && python3 -c 'from calc import add; assert add(2, 2) == 4' && echo 1 > {0} || echo 0.25 > {0}\n"
    (tests_dir / "test.sh").write_text(script.format("/logs/verifier/reward.txt"))
    plan = {"command": "bash /tests/test.sh", "result": "reward"}
    assert (await verifier.verify(await work(FIX, **plan), pool)).passed
    failed = await verifier.verify(await work(**plan), pool)
    assert (failed.outcome, failed.score) == ("fail", 0.25)


@pytest.mark.parametrize(
    "wrong", ["true", "touch /logs/verifier/reward.txt", "echo 7 > /logs/verifier/reward.txt"]
)
async def test_without_a_usable_reward_nobody_knows_even_if_the_agent_planted_one(
    work, pool, tests_dir, wrong
):
    (tests_dir / "test.sh").write_text(wrong + "\n")
    plant = "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt; echo '{\"reward\": 1}' > /logs/verifier/reward.json"
    submission = await work(plant, command="bash /tests/test.sh", result="reward")
    verdict = await verifier.verify(submission, pool)
    assert (verdict.outcome, verdict.score, verdict.infra) == ("unknown", None, False)
    assert "no reward" in verdict.reason


async def test_named_rewards_become_checks(work, pool, tests_dir):
    (tests_dir / "test.sh").write_text('echo \'{"reward": 0.5, "style": 1}\' > /logs/verifier/reward.json\n')
    verdict = await verifier.verify(await work(command="bash /tests/test.sh", result="reward"), pool)
    assert (verdict.outcome, verdict.score) == ("fail", 0.5)
    assert {check.id: check.outcome for check in verdict.checks} == {"reward": "fail", "style": "pass"}


async def test_a_script_that_calls_pytest_itself_is_not_steered_by_planted_configuration(
    work, pool, tests_dir
):
    (tests_dir / "test.sh").write_text(
        "python3 -m pytest /tests && reward=1 || reward=0\necho $reward > /logs/verifier/reward.txt\n"
    )
    plan = {"command": "bash /tests/test.sh", "result": "reward"}
    trick = f'cat > /conftest.py <<"E"\n{PASS_ALL}E\nprintf "[pytest]\\naddopts = --collect-only\\n" > /pytest.ini'
    assert (await verifier.verify(await work(trick, **plan), pool)).score == 0.0
    assert (await verifier.verify(await work(FIX, trick, **plan), pool)).passed


async def test_a_declared_build_command_passes_by_its_exit_code(work, pool):
    plan = {"command": "python3 -c 'import calc; exit(calc.add(1, 1) != 2)'", "result": "exit"}
    assert (await verifier.verify(await work(FIX, **plan), pool)).passed
    failed = await verifier.verify(await work(**plan), pool)
    assert (failed.outcome, failed.score, failed.exit_code) == ("fail", 0.0, 1)


async def test_what_the_work_cannot_be_blamed_for_is_unknown(work, pool):
    for plan in ({"command": "make test"}, {"command": "pytest /app"}, {"result": "telepathy"}):
        verdict = await verifier.verify(await work(**plan), pool)
        assert (verdict.outcome, verdict.score, verdict.infra) == ("unknown", None, True)
    submission = await work()
    nothing = await verifier.verify(Submission("x", submission.snapshot), pool)
    assert (nothing.outcome, nothing.infra) == ("unknown", False)


async def test_flaky_tests_pass_no_repeated_verification(work, pool, tests_dir):
    def repeated(runs):
        return Pipeline([Part(BuildVerifier(), repeats=runs)])

    assert (await repeated(2).verify(await work(FIX), pool)).passed
    (tests_dir / "test_flaky.py").write_text(
        "import random\n\ndef test_lucky():\n    assert random.SystemRandom().random() < 0.02\n"
    )
    verdict = await repeated(9).verify(await work(FIX), pool)
    assert verdict.outcome == "fail"
    assert (verdict.parts[0].runs, verdict.parts[0].outcome) == (9, "fail")


async def test_a_failure_of_the_machinery_is_an_exception_and_no_verdict(work, pool):
    submission = await work(FIX)
    await pool.close()
    with pytest.raises(KernelError):
        await verifier.verify(submission, pool)


async def test_it_keeps_the_contract_of_every_verifier(work, pool):
    assert await check_verifier(verifier, pool, good=await work(FIX), bad=await work()) == []
