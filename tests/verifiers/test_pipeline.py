"""Several verifiers as one."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from kernel_pool import KernelClosed, Snapshot
from verifiers import BadPipeline, EmptyPipeline, Part, Pipeline, Submission, Verdict, VerifierError, verifier

WORK = Submission("do it", Snapshot("local", "b"))


class Says:
    """A verifier that says what it is told, after a while."""

    def __init__(self, name, outcome="pass", score=None, *, raises=None, after=0.0):
        self.name, self.outcome, self.score, self.raises, self.after = name, outcome, score, raises, after

    async def verify(self, submission, pool):
        await asyncio.sleep(self.after)
        if self.raises:
            raise self.raises
        score = (
            self.score
            if self.score is not None
            else {"pass": 1.0, "fail": 0.0, "unknown": None}[self.outcome]
        )
        return Verdict(
            verifier=self.name,
            outcome=self.outcome,
            score=score,
            reason="told",
            state=submission.snapshot.digest,
        )


async def verdict(*parts: Part) -> Verdict:
    return await Pipeline(parts).verify(WORK, None)  # type: ignore[arg-type]


async def test_it_passes_when_every_gate_passes_and_weighs_the_scores():
    found = await verdict(Part(Says("a"), weight=3), Part(Says("b", "fail", 0.5), weight=1, gate=False))
    assert (found.outcome, found.score) == ("pass", 0.875)
    assert [part.verifier for part in found.parts] == ["a", "b"]
    assert found.state == WORK.snapshot.digest


async def test_one_failing_gate_fails_the_whole_whatever_the_score():
    found = await verdict(Part(Says("a"), weight=99), Part(Says("b", "fail"), weight=0))
    assert found.outcome == "fail"
    assert "b fail" in found.reason


@pytest.mark.parametrize("error", [KernelClosed("gone"), RuntimeError("bug"), TimeoutError("inside")])
async def test_a_verifier_that_breaks_is_unknown_and_neither_a_pass_nor_a_failure(error):
    found = await verdict(Part(Says("a")), Part(Says("b", raises=error)))
    assert (found.outcome, found.score, found.infra) == ("unknown", None, True)
    assert str(error) in found.parts[1].reason


async def test_an_unknown_that_is_not_the_machinerys_fault_stays_so():
    found = await verdict(Part(Says("a", "unknown")))
    assert (found.outcome, found.infra) == ("unknown", False)


async def test_a_failed_gate_outweighs_a_broken_one():
    assert (
        await verdict(Part(Says("a", "fail")), Part(Says("b", raises=KernelClosed("x"))))
    ).outcome == "fail"


async def test_each_part_has_its_own_time_out_and_all_run_at_once():
    start = time.monotonic()
    found = await verdict(
        *(Part(Says(f"v{i}", after=0.15)) for i in range(5)), Part(Says("slow", after=9), timeout_s=0.1)
    )
    assert time.monotonic() - start < 0.6
    assert found.outcome == "unknown"
    assert found.parts[5].infra
    assert "longer than 0.1 s" in found.parts[5].reason


async def test_cancelling_it_is_not_swallowed():
    task = asyncio.ensure_future(verdict(Part(Says("slow", after=9))))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_pipeline_is_a_verifier_itself():
    inner = Pipeline([Part(Says("a"))], name="inner")
    assert (await verdict(Part(inner), Part(Says("b")))).outcome == "pass"


async def test_parts_may_be_given_as_tuples():
    found = await Pipeline([(Says("a"), 1.0), (Says("b", "fail"), 1.0, False)]).verify(WORK, None)  # type: ignore[arg-type]
    assert (found.outcome, found.score) == ("pass", 0.5)


def test_a_pipeline_that_could_not_fail_is_an_error_at_construction():
    for parts in ([], [Part(Says("a"), gate=False)]):
        with pytest.raises(EmptyPipeline):
            Pipeline(parts)


def test_contradictory_parts_are_an_error_at_construction():
    for parts in (
        [Part(Says("a")), Part(Says("a"))],
        [Part(Says("a"), weight=-1)],
        [Part(Says("a"), weight=math.nan)],
        [Part(Says("a"), weight=0)],
        [Part(Says("a"), repeats=0)],
    ):
        with pytest.raises(BadPipeline):
            Pipeline(parts)


class Alternates:
    """Passes every other time."""

    name = "alternates"

    def __init__(self):
        self.calls = 0

    async def verify(self, submission, pool):
        self.calls += 1
        outcome = "pass" if self.calls % 2 else "fail"
        return await Says(self.name, outcome).verify(submission, pool)


async def test_all_runs_of_a_repeated_part_must_pass_and_a_flaky_one_says_so():
    steady = await verdict(Part(Says("a"), repeats=3))
    assert (steady.outcome, steady.parts[0].runs, steady.parts[0].passes) == ("pass", 3, 3)
    assert not steady.parts[0].flaky
    found = await verdict(Part(Alternates(), repeats=4))
    assert (found.outcome, found.parts[0].passes, found.parts[0].flaky) == ("fail", 2, True)
    assert "2 of 4 runs passed" in found.reason


async def test_one_broken_run_of_a_repeated_part_is_no_pass():
    class Breaks(Alternates):
        async def verify(self, submission, pool):
            self.calls += 1
            if self.calls == 2:
                raise KernelClosed("gone")
            return await Says(self.name).verify(submission, pool)

    found = await verdict(Part(Breaks(), repeats=3))
    assert (found.outcome, found.infra, found.parts[0].passes) == ("unknown", True, 2)


async def test_a_later_stage_is_not_reached_when_an_earlier_gate_does_not_pass():
    for early in (Says("early", "fail", 0.5), Says("early", raises=KernelClosed("x"))):
        late = Alternates()
        found = await verdict(Part(late, stage=1), Part(early))
        assert late.calls == 0
        assert [part.cause for part in found.parts if part.verifier == "alternates"] == ["not_reached"]
    found = await verdict(Part(Alternates(), stage=1), Part(Says("early", "fail", 0.5)))
    assert (found.outcome, found.score) == ("fail", 0.25)  # what was not reached has earned nothing
    found = await verdict(Part(Says("judge", "fail", 0.2), stage=1, gate=False), Part(Says("early")))
    assert (found.outcome, found.score) == ("pass", 0.6)


async def test_where_a_weighted_part_could_not_tell_there_is_no_score():
    broken = Part(Says("judge", raises=KernelClosed("gone")), gate=False, weight=0.5)
    for outcome in ("pass", "fail"):
        found = await verdict(Part(Says("build", outcome)), broken)
        assert (found.outcome, found.score, found.infra) == (outcome, None, False)
    found = await verdict(Part(Says("build")), Part(broken.verifier, gate=False, weight=0))
    assert (found.outcome, found.score) == ("pass", 1.0)


async def test_work_without_any_criteria_is_unknown_and_never_passes():
    found = await verdict(Part(Says("a"), when=lambda work: False), Part(Says("b"), gate=False))
    assert (found.outcome, found.score, found.cause) == ("unknown", None, "no_criteria")


async def test_a_part_that_does_not_apply_has_no_say():
    found = await verdict(Part(Says("a", "fail"), when=lambda work: False), Part(Says("b")))
    assert (found.outcome, found.score, len(found.parts)) == ("pass", 1.0, 1)


def test_an_unknown_verifier_is_named_with_the_nearest_known_one():
    assert verifier("build").name == "build"
    with pytest.raises(VerifierError, match="did you mean build"):
        verifier("biuld")
    with pytest.raises(VerifierError, match="colour"):
        verifier("build", colour="red")
