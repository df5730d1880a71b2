"""The contract of a policy as checks that run on any policy: ours in the tests, yours wherever you like.

    results = await selfcheck(lambda: MyPolicy(), deterministic=True)
    assert not [r for r in results if r.problem]

Each check gets a function that makes a fresh policy, and raises `ContractBroken` with the rule that was
broken. A policy whose endpoint may fail is checked with an endpoint that does not: an exception out of
`act` is a finding, except where a check says otherwise.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from envs.tools import ToolSpec
from envs.trajectory import Message, ToolCall

from ..errors import ConfigError, PolicyError
from ..records import Sampling
from .policy import Policy, PolicyReply

MakePolicy = Callable[[], Policy]
FINISHES = frozenset({"stop", "tool_calls", "length", "refusal", "context_overflow"})

TOOLS = (
    ToolSpec(
        "bash",
        "Run a shell command.",
        {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    ),
    ToolSpec(
        "submit",
        "Hand the work in.",
        {"type": "object", "properties": {"answer": {"type": "string"}}, "required": []},
    ),
)
OPENING = (
    Message(role="system", content="You mend programs."),
    Message(role="user", content="Two plus two gives five. Mend it."),
)
SAMPLING = Sampling(seed=7)


class ContractBroken(AssertionError):
    """A policy does not keep its contract; the message is the rule."""


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome."""

    name: str
    problem: str = ""  #: the rule that was broken, "" if none


async def selfcheck(make: MakePolicy, *, deterministic: bool = False) -> list[CheckResult]:
    """Run every check on fresh policies. `deterministic`: the policy claims to say the same to the same
    conversation and sampling."""
    checks = [*CHECKS, *(DETERMINISTIC if deterministic else ())]
    results = []
    for check in checks:
        try:
            await check(make)
            results.append(CheckResult(check.__name__))
        except ContractBroken as error:
            results.append(CheckResult(check.__name__, str(error)))
        except PolicyError as error:
            results.append(CheckResult(check.__name__, f"the endpoint failed ({error.kind}): {error}"))
    return results


async def it_has_a_name_and_a_model(make: MakePolicy) -> None:
    """Records carry both."""
    policy = make()
    _rule(isinstance(policy.name, str) and policy.name != "", "`name` is a text and not empty")
    _rule(isinstance(policy.model, str), "`model` is a text, empty where there is none")


async def it_says_whether_it_converses(make: MakePolicy) -> None:
    """A judge and `rollouts comply` want words; one that does not converse is refused there."""
    _rule(isinstance(getattr(make(), "converses", None), bool), "`converses` is true or false")


async def it_says_whether_it_knows_log_probabilities(make: MakePolicy) -> None:
    """Forks at uncertain replies want them; a policy that says it has none gives none."""
    async with _closing(make()) as policy:
        _rule(isinstance(getattr(policy, "log_probs", None), bool), "`log_probs` is true or false")
        reply = await policy.act(OPENING, TOOLS, SAMPLING)
    tokens = reply.tokens.logprobs if reply.tokens else None
    known = reply.log_prob is not None or tokens is not None
    _rule(policy.log_probs or not known, "no log-probabilities where `log_probs` is false")


async def it_answers_as_the_assistant(make: MakePolicy) -> None:
    """A reply is an assistant message with a finish the loop knows."""
    async with _closing(make()) as policy:
        reply = await policy.act(OPENING, TOOLS, SAMPLING)
    _rule(isinstance(reply, PolicyReply), "`act` returns a PolicyReply")
    _rule(reply.message.role == "assistant", "the reply's role is assistant")
    _rule(reply.finish in FINISHES, f"`finish` is one of {sorted(FINISHES)}, not {reply.finish!r}")
    ids = [call.id for call in reply.message.tool_calls]
    _rule(len(set(ids)) == len(ids) and all(ids), "each tool call has an id of its own")
    _rule(reply.log_prob is None or reply.log_prob <= 0.0, "a log-probability is not above 0")
    _rule(bool(pickle.loads(pickle.dumps(reply))), "a reply can be pickled")


async def it_leaves_its_inputs_alone(make: MakePolicy) -> None:
    """The conversation belongs to the caller."""
    messages, tools = list(_history()), list(TOOLS)
    before = [m.model_dump_json() for m in messages], repr(tools), SAMPLING.model_dump_json()
    async with _closing(make()) as policy:
        await policy.act(messages, tools, SAMPLING)
    after = [m.model_dump_json() for m in messages], repr(tools), SAMPLING.model_dump_json()
    _rule(before == after, "`act` changes none of its arguments")


async def it_reads_a_history_with_results(make: MakePolicy) -> None:
    """Several calls in a turn, a failed one, a malformed one, and words of the user in between."""
    async with _closing(make()) as policy:
        for messages in (_history(), (*_history(), Message(role="user", content="Go on."))):
            reply = await policy.act(messages, TOOLS, SAMPLING)
            _rule(reply.message.role == "assistant", "a history with tool results gets a reply")


async def it_takes_unicode_and_empty_content(make: MakePolicy) -> None:
    """Tool output is anything at all."""
    odd = "naïve ☃ \u202e 漢字 \x1b[31m \U0001f600 \x00"
    messages = (
        *OPENING,
        Message(role="assistant", tool_calls=(ToolCall(id="c1", name="bash", arguments={"command": odd}),)),
        Message(role="tool", content="", tool_call_id="c1", name="bash"),
        Message(role="assistant", content=""),
        Message(role="user", content=""),
        Message(role="user", content=odd),
    )
    async with _closing(make()) as policy:
        reply = await policy.act(messages, TOOLS, SAMPLING)
    _rule(reply.message.role == "assistant", "odd and empty texts get a reply")


async def it_does_without_tools(make: MakePolicy) -> None:
    """No tools is a legal set of tools."""
    async with _closing(make()) as policy:
        reply = await policy.act(OPENING, (), SAMPLING)
    _rule(reply.message.role == "assistant", "a conversation without tools gets a reply")


async def it_serves_many_branches_at_once(make: MakePolicy) -> None:
    """One object, many tasks."""
    async with _closing(make()) as policy:
        acts = [policy.act(OPENING, TOOLS, Sampling(seed=i)) for i in range(24)]
        replies = await asyncio.gather(*acts)
    _rule(all(r.message.role == "assistant" for r in replies), "24 concurrent calls get 24 replies")


async def it_travels_before_its_first_use(make: MakePolicy) -> None:
    """A policy is sent to other processes before it is used there."""
    policy = make()
    try:
        twin: Policy = pickle.loads(pickle.dumps(policy))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ContractBroken(f"a policy can be pickled before its first use ({error})") from None
    _rule((twin.name, twin.model) == (policy.name, policy.model), "its copy is the same policy")
    async with _closing(twin):
        reply = await twin.act(OPENING, TOOLS, SAMPLING)
    _rule(reply.message.role == "assistant", "its copy works")


async def it_closes_twice(make: MakePolicy) -> None:
    """Closing is idempotent, used or not."""
    unused, used = make(), make()
    await used.act(OPENING, TOOLS, SAMPLING)
    for policy in (unused, used):
        await policy.close()
        await policy.close()


async def it_can_be_cancelled(make: MakePolicy) -> None:
    """A cancelled call raises `CancelledError`, and the policy goes on working."""
    async with _closing(make()) as policy:
        call = asyncio.create_task(_act(policy))
        await asyncio.sleep(0)
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            pass
        reply = await policy.act(OPENING, TOOLS, SAMPLING)
    _rule(reply.message.role == "assistant", "it works after a call was cancelled")


async def it_checks_samplings(make: MakePolicy) -> None:
    """`check` gives sentences or a `ConfigError`, nothing else."""
    policy = make()
    plans: tuple[tuple[Sampling, ...], ...] = (
        (),
        (Sampling(),),
        tuple(Sampling(temperature=t, seed=i) for i, t in enumerate((0.2, 0.7, 1.0))),
        tuple(Sampling(prompt_variant=v, prompt_text=v) for v in ("bold", "careful")),
    )
    for plan in plans:
        try:
            notes = policy.check(plan)
        except ConfigError as error:
            _rule(bool(str(error)), "a ConfigError says what is wrong")
        else:
            _rule(isinstance(notes, list) and all(isinstance(n, str) and n for n in notes), "notes are texts")


async def it_says_the_same_again(make: MakePolicy) -> None:
    """Deterministic policies only: the prefix decides, not the object and not what was asked before."""
    async with _closing(make()) as first, _closing(make()) as second:
        for messages in (OPENING, _history()):
            one = await first.act(messages, TOOLS, SAMPLING)
            await first.act(OPENING, TOOLS, SAMPLING)
            other, again = (
                await second.act(messages, TOOLS, SAMPLING),
                await first.act(messages, TOOLS, SAMPLING),
            )
            same = one.message == other.message == again.message
            _rule(same, "the same conversation and sampling give the same reply")


CHECKS: tuple[Callable[[MakePolicy], Awaitable[None]], ...] = (
    it_has_a_name_and_a_model,
    it_says_whether_it_converses,
    it_says_whether_it_knows_log_probabilities,
    it_answers_as_the_assistant,
    it_leaves_its_inputs_alone,
    it_reads_a_history_with_results,
    it_takes_unicode_and_empty_content,
    it_does_without_tools,
    it_serves_many_branches_at_once,
    it_travels_before_its_first_use,
    it_closes_twice,
    it_can_be_cancelled,
    it_checks_samplings,
)
DETERMINISTIC: tuple[Callable[[MakePolicy], Awaitable[None]], ...] = (it_says_the_same_again,)


class _closing:
    """Close the policy at the end, whatever happens."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def __aenter__(self) -> Policy:
        return self._policy

    async def __aexit__(self, *ignored: object) -> None:
        await self._policy.close()


async def _act(policy: Policy) -> PolicyReply:
    return await policy.act(OPENING, TOOLS, SAMPLING)


def _history() -> Sequence[Message]:
    return (
        *OPENING,
        Message(
            role="assistant",
            content="Let me look.",
            tool_calls=(
                ToolCall(id="a.1", name="bash", arguments={"command": "cat sum.py"}),
                ToolCall(id="a:2", name="bash", arguments=None, raw='{"command": "cat'),
            ),
        ),
        Message(role="tool", content="def add(a, b): return a + b + 1", tool_call_id="a.1", name="bash"),
        Message(role="tool", content="arguments are no JSON object", tool_call_id="a:2", name="bash"),
    )


def _rule(kept: bool, rule: str) -> None:
    if not kept:
        raise ContractBroken(rule)
