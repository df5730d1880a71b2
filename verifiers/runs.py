"""One run of a task's tests inside a prepared kernel, for each of the ways a task declares its result."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from kernel_pool import ExecResult, FileAccessError, Kernel, Limits

from .junit import BadReport, base_name, parse_report
from .known_tests import KnownTests, known_tests
from .pytest_command import PytestCall, environment, pytest_call
from .reward import BadReward, parse_reward_json, parse_reward_text
from .submission import TestPlan
from .verdict import CheckResult, Outcome

_LOGS = "/logs/verifier"
_REPORT_BYTES = 16 * 1024 * 1024
_REWARD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Finding:
    """What one run of the tests showed."""

    outcome: Outcome
    score: float | None
    reason: str
    infra: bool = False
    cause: str = ""  #: one word, as in `Verdict`
    checks: Sequence[CheckResult] = ()
    command: str = ""
    result: ExecResult | None = None


async def run_tests(kernel: Kernel, plan: TestPlan, limits: Limits) -> Finding:
    """Run them once. /logs/verifier is there and empty. Raises `KernelError`."""
    return await _RUNNERS.get(plan.result, _run_unheard_of)(kernel, plan, limits)


async def _run_pytest(kernel: Kernel, plan: TestPlan, limits: Limits) -> Finding:
    report = f"{_LOGS}/{secrets.token_hex(16)}.xml"
    try:
        call = pytest_call(plan, report)
    except ValueError as error:
        return Finding("unknown", None, str(error), infra=True, cause="bad_command")
    known = await asyncio.to_thread(known_tests, plan.directory, call.paths)
    result = await _run(kernel, call.argv, plan, limits)
    shown = plan.command
    if result.ended != "exited":
        return _ended_early(result, plan, shown)
    try:
        cases = parse_report(await kernel.read(report, max_bytes=_REPORT_BYTES))
    except (FileAccessError, BadReport) as error:
        if not await _has_pytest(kernel, plan, call, limits):
            reason = f"there is no pytest for {call.python} in this kernel"
            return Finding(
                "unknown", None, reason, infra=True, cause="no_pytest", command=shown, result=result
            )
        why = f"the report {error}" if isinstance(error, BadReport) else f"no usable report ({error.reason})"
        reason = f"the tests exited with {result.exit_code} and left {why}"
        return Finding("fail", 0.0, reason, command=shown, result=result)
    return _judge(cases, known if call.complete else KnownTests(), result, shown)


def _judge(cases: list[CheckResult], known: KnownTests, result: ExecResult, shown: str) -> Finding:
    """Pass only when every known test reported, everything that ran passed, and pytest itself agrees."""
    reported = {base_name(case.id) for case in cases}
    absent = [
        CheckResult(id=name, outcome="error", message="defined in the tests, and not in the report")
        for name in sorted(known.required - reported)
    ]
    checks = [*cases, *absent]
    counted = [c for c in checks if c.outcome != "skip" or base_name(c.id) not in known.may_skip]
    passed = sum(check.outcome == "pass" for check in counted)
    score = passed / len(counted) if counted else 0.0
    summary = f"{passed} of {len(counted)} tests passed"
    if absent:
        summary += f"; {len(absent)} never reported"
    if passed and passed == len(counted):
        if result.exit_code == 0:
            return Finding("pass", 1.0, summary, checks=checks, command=shown, result=result)
        # A report of passes only from a pytest that says otherwise is not believed.
        score, summary = 0.0, f"{summary}, and pytest exited with {result.exit_code} all the same"
    return Finding("fail", score, summary, checks=checks, command=shown, result=result)


async def _run_reward(kernel: Kernel, plan: TestPlan, limits: Limits) -> Finding:
    result = await _run(kernel, ["/bin/bash", "-c", plan.command], plan, limits)
    if result.ended != "exited":
        return _ended_early(result, plan)
    named: dict[str, float] = {}
    try:
        text = await _read_if_there(kernel, f"{_LOGS}/reward.txt")
        data = None if text is not None else await _read_if_there(kernel, f"{_LOGS}/reward.json")
        if text is not None:
            reward = parse_reward_text(text)
        elif data is not None:
            reward, named = parse_reward_json(data)
        else:
            raise BadReward(f"{_LOGS}/reward.txt is not there")
    except (BadReward, FileAccessError) as error:
        reason = f"the tests exited with {result.exit_code} and left no reward: {error}"
        return Finding("unknown", None, reason, cause="no_reward", result=result)
    checks = [
        CheckResult(id=name, outcome="pass" if value >= 1.0 else "fail", message=f"{value:g}")
        for name, value in named.items()
    ]
    outcome: Outcome = "pass" if reward >= 1.0 else "fail"
    return Finding(outcome, reward, f"reward {reward:g}", checks=checks, result=result)


async def _run_exit(kernel: Kernel, plan: TestPlan, limits: Limits) -> Finding:
    result = await _run(kernel, ["/bin/bash", "-c", plan.command], plan, limits)
    if result.ended != "exited":
        return _ended_early(result, plan)
    outcome: Outcome = "pass" if result.ok else "fail"
    return Finding(outcome, float(result.ok), f"exit code {result.exit_code}", result=result)


async def _run_unheard_of(kernel: Kernel, plan: TestPlan, limits: Limits) -> Finding:
    reason = f"the task's tests declare the result {plan.result!r}; known are {', '.join(sorted(_RUNNERS))}"
    return Finding("unknown", None, reason, infra=True, cause="unknown_result")


_RUNNERS = {"pytest": _run_pytest, "reward": _run_reward, "exit": _run_exit}


async def _run(kernel: Kernel, argv: Sequence[str], plan: TestPlan, limits: Limits) -> ExecResult:
    env = environment(plan)
    return await kernel.run(argv, cwd=plan.workdir, env=env, limits=limits.with_wall(plan.timeout_s))


async def _has_pytest(kernel: Kernel, plan: TestPlan, call: PytestCall, limits: Limits) -> bool:
    probe = [call.python, "-P", "-c", "import pytest"]
    result = await kernel.run(probe, cwd="/", env=environment(plan), limits=limits.with_wall(60.0))
    return result.ok


async def _read_if_there(kernel: Kernel, path: str) -> bytes | None:
    try:
        return await kernel.read(path, max_bytes=_REWARD_BYTES)
    except FileAccessError as error:
        if error.reason == FileAccessError.ABSENT:
            return None
        raise


def _ended_early(result: ExecResult, plan: TestPlan, shown: str = "") -> Finding:
    if result.ended == "timeout":
        reason = f"the tests did not end within {plan.timeout_s:g} s"
    elif result.ended == "signalled":
        reason = f"the tests were ended by signal {result.signal}"
    else:
        reason = f"the tests were ended at their limit: {result.ended}"
    return Finding("fail", 0.0, reason, cause=result.ended, command=shown, result=result)
