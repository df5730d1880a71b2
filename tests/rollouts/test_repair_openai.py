"""Compliance repair with a real policy: the OpenAI SDK against the loopback server."""

from __future__ import annotations

from typing import Any

import pytest
from repair_support import FRIDAY, NO_COMMA, TASK, constraints

from rollouts.policies import make_policy
from rollouts.policies.loopback import Fault, LoopbackModelServer, ModelRequest, Reply
from rollouts.records import Sampling
from rollouts.repair import MODES, ComplianceRecord, RepairSettings, run_compliance

LIMITS = RepairSettings(patches=False, sampling=Sampling(temperature=0.3, max_tokens=80))


async def run(server: LoopbackModelServer, mode: Any, **more: Any) -> ComplianceRecord:
    policy = make_policy("openai", {"model": "small", "base_url": server.url + "/v1", "max_retries": 0})
    try:
        given = {"settings": LIMITS, "seed": 5, **more}
        return await run_compliance(TASK, constraints(FRIDAY, NO_COMMA), policy, mode, **given)
    finally:
        await policy.close()


def improves(request: ModelRequest) -> str:
    """Mends what it is told of, one thing at a time."""
    asked = request.body["messages"][-1]["content"]
    if "Not met" not in asked:
        return "See you, all."
    return "Friday, see you all." if "See you, all." in asked else "Friday: see you all."


@pytest.mark.parametrize("mode", ["prompt_retry", "full_pcl"])
async def test_a_model_that_listens_is_repaired_and_all_its_tokens_are_counted(mode):
    async with LoopbackModelServer(improves) as server:
        record = await run(server, mode)
    assert (record.ending, record.final_pass, record.model) == ("solved", True, "small")
    assert [a.artifact for a in record.attempts] == [
        "See you, all.",
        "Friday, see you all.",
        "Friday: see you all.",
    ]
    usages = [a.usage for a in record.attempts]
    assert all(usage.input_tokens and usage.output_tokens for usage in usages)
    assert record.input_tokens == sum(usage.input_tokens or 0 for usage in usages)
    assert record.output_tokens == sum(usage.output_tokens or 0 for usage in usages)


@pytest.mark.parametrize("mode", MODES)
async def test_seed_and_sampling_reach_the_endpoint_with_every_call(mode):
    async with LoopbackModelServer(lambda _: "no day, sorry") as server:
        record = await run(server, mode)
    bodies = [request.body for request in server.requests]
    assert [body["seed"] for body in bodies] == list(range(5, 5 + len(bodies)))
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.3, 80)}
    assert all("tools" not in body or not body["tools"] for body in bodies)
    assert all(TASK in body["messages"][-1]["content"] for body in bodies)
    assert [a.effective["seed"] for a in record.attempts] == [body["seed"] for body in bodies]
    assert len(bodies) == (1 if mode == "direct" else 4)


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_that_fails_is_missing(mode):
    async with LoopbackModelServer(lambda _: Fault.drop()) as server:
        record = await run(server, mode)
    assert (record.ending, record.final_pass) == ("policy_error", None)


async def test_tokens_over_the_budget_end_it_as_truncated():
    async with LoopbackModelServer(lambda _: Reply("no day, sorry " * 20)) as server:
        record = await run(server, "prompt_retry", settings=RepairSettings(tokens=30, rounds=9))
    assert (record.ending, record.stop, record.final_pass) == ("truncated", "tokens", False)
    assert len(record.attempts) < 10
