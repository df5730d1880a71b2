"""Policies by name, what is known of models, and the contract run on every policy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import Any

import pytest

from envs.tools import ToolSpec
from envs.trajectory import Message, ToolCall, Trajectory, Usage
from rollouts.errors import ConfigError
from rollouts.policies import POLICIES, Place, Policy, PolicyReply, check_converses, make_policy
from rollouts.policies.endpoint import parse_arguments
from rollouts.policies.loopback import Call, LoopbackModelServer, Reply
from rollouts.policies.models import Price, add_usage, claude_version, cost_usd, price_of, takes_sampling
from rollouts.policies.replay import ReplayPolicy
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.policies.selfcheck import CHECKS, DETERMINISTIC, selfcheck
from rollouts.records import Sampling


class TestByName:
    """`make_policy`."""

    def test_an_unknown_name_suggests_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match="anthropic"):
            make_policy("antropic")

    def test_an_unknown_option_suggests_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match="did you mean temperature_fallback"):
            make_policy("openai", {"model": "m", "base_url": "http://x", "temperature_fallbak": "resample"})

    def test_a_missing_option_says_how_to_give_it(self) -> None:
        with pytest.raises(ConfigError, match=r"--set policy\.options\.model="):
            make_policy("anthropic", {})

    def test_a_wrong_type_shows_what_was_found(self) -> None:
        with pytest.raises(ConfigError, match=r"max_retries.*found 'many'"):
            make_policy("openai", {"model": "m", "base_url": "http://x", "max_retries": "many"})

    def test_a_policy_of_ones_own_without_options_model_gets_keywords(self) -> None:
        POLICIES.register("mine", f"{__name__}:Mine")
        assert make_policy("mine", {"word": "hey"}).model == "hey"
        with pytest.raises(ConfigError, match="known: word"):
            make_policy("mine", {"wrod": "hey"})

    def test_a_policy_of_ones_own_that_does_not_say_that_it_converses_is_not_asked_questions(self) -> None:
        POLICIES.register("mine", f"{__name__}:Mine")
        with pytest.raises(ConfigError, match=r"^judge\.policy\.name: the policy 'mine' does not answer"):
            check_converses(make_policy("mine"), Place("judge.policy"))

    @pytest.mark.parametrize("option", [{"a": float("inf")}, {"a": date(2026, 1, 2)}], ids=str)
    def test_what_cannot_be_sent_is_told_before_it_is_sent(self, option: dict[str, Any]) -> None:
        for name, where in (("openai", "extra_body"), ("anthropic", "thinking")):
            with pytest.raises(
                ConfigError, match=f"^policy.options of '{name}': {where}: .*cannot be sent as JSON"
            ):
                make_policy(name, {"model": "m", "base_url": "http://x", where: option})

    def test_nothing_heavy_is_imported_before_it_is_needed(self) -> None:
        code = "import sys, rollouts.policies as p; p.make_policy('scripted', {'replies': ['a']})\n"
        code += "print([m for m in ('anthropic', 'openai', 'aiohttp.web') if m in sys.modules])"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


class Mine:
    """A policy somebody else wrote."""

    name = "mine"

    def __init__(self, word: str = "") -> None:
        self.model = word


class TestModels:
    """Versions, sampling and prices."""

    @pytest.mark.parametrize(
        ("model", "takes"),
        [
            ("claude-opus-4-6", True),
            ("claude-sonnet-4-6", True),
            ("claude-opus-4-5-20251101", True),
            ("claude-sonnet-4-5-20250929", True),
            ("claude-haiku-4-5", True),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", True),
            ("claude-opus-4-7", False),
            ("claude-opus-4-8", False),
            ("claude-opus-5", False),
            ("claude-sonnet-5-5", False),
            ("claude-haiku-5-5", False),
            ("claude-fable-5-2", False),
            ("claude-mythos-preview", False),
            ("claude-opus-4-20250514", False),  # not known to take one: nothing is sent
            ("something-else", False),
        ],
    )
    def test_who_takes_a_temperature(self, model: str, takes: bool) -> None:
        assert takes_sampling(model) is takes
        assert takes_sampling(model, thinking=True) is False

    def test_a_date_is_no_version(self) -> None:
        assert claude_version("claude-opus-4-20250514") == ("opus", 4, 0)
        assert claude_version("claude-sonnet-4-5-20250929") == ("sonnet", 4, 5)
        assert claude_version("gpt-oss") is None

    @pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-fable-5-2", "qwen", "claude-opus-9"])
    def test_a_price_that_is_not_known_is_none(self, model: str) -> None:
        assert price_of(model) is None
        assert cost_usd(price_of(model), 10, 10) is None

    def test_a_part_without_a_price_makes_the_whole_unknown(self) -> None:
        assert cost_usd(Price(2, 10), 1_000_000, 100_000) == pytest.approx(3.0)
        assert cost_usd(Price(2, 10), 1_000_000, 100_000, cache_read=1) is None
        assert cost_usd(Price(2, 10), None, 100_000) is None

    def test_a_missing_figure_stays_missing_in_a_sum(self) -> None:
        total = add_usage(Usage(input_tokens=1, output_tokens=2), Usage(input_tokens=3))
        assert (total.input_tokens, total.output_tokens) == (4, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', ({"a": 1}, "")),
        ('{"a":1}', ({"a": 1}, '{"a":1}')),
        ('{"a": "é"}', ({"a": "é"}, "")),
        ("[]", (None, "[]")),
        ("", (None, "")),
        ('{"a": NaN}', (None, '{"a": NaN}')),
        ('{"a": -Infinity}', (None, '{"a": -Infinity}')),
        ("[" * 100_000, (None, "[" * 100_000)),
    ],
)
def test_arguments_are_understood_or_kept(text: str, expected: tuple[Any, str]) -> None:
    assert parse_arguments(text) == expected


REPLY = Reply("Let me look.", calls=(Call("bash", {"command": "ls"}), Call("bash", {"command": "pwd"})))


@pytest.fixture(params=["anthropic", "openai", "scripted", "replay", "mutation"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Policy]]:
    """A way to make each policy."""
    name = request.param
    if name == "scripted":
        yield lambda: ScriptedPolicy.of(["a", {"tool": "bash", "arguments": {"command": "ls"}}])
    elif name == "replay":
        said = Message(role="assistant", tool_calls=(ToolCall(id="c", name="bash", arguments={}),))
        yield lambda: ReplayPolicy.of(Trajectory(messages=[said, said]))
    elif name == "mutation":
        yield lambda: make_policy("mutation")
    else:
        async with LoopbackModelServer(lambda _: REPLY) as server:
            url = server.url if name == "anthropic" else server.url + "/v1"
            yield lambda: make_policy(name, {"model": "claude-sonnet-4-6", "base_url": url})


@pytest.mark.parametrize("check", [*CHECKS, *DETERMINISTIC], ids=lambda check: check.__name__)
async def test_every_policy_keeps_the_contract(make: Callable[[], Policy], check: Callable[..., Any]) -> None:
    await check(make)


class Breaker:
    """Breaks most rules, to see that the checks see it."""

    name = ""
    model = "m"
    count = itertools.count()

    def __init__(self) -> None:
        self.unpicklable = lambda: None
        self.closed = False

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        return [""]

    async def act(self, messages: list[Message], tools: list[ToolSpec], sampling: Sampling) -> PolicyReply:
        if isinstance(messages, list):
            messages.clear()
        message = Message(role="user", content=f"{next(self.count)}{os.getpid()}")
        return PolicyReply(message, "whatever", log_prob=0.5)  # type: ignore[arg-type]

    async def close(self) -> None:
        self.closed = True


async def test_the_checks_find_what_is_broken() -> None:
    found = {r.name: r.problem for r in await selfcheck(Breaker, deterministic=True)}  # type: ignore[arg-type]
    fine = {name for name, problem in found.items() if not problem}
    assert fine == {"it_closes_twice"}
    assert "role is assistant" in found["it_answers_as_the_assistant"]
    assert "changes none of its arguments" in found["it_leaves_its_inputs_alone"]
