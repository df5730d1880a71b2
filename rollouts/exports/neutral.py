"""The one neutral record of a branch, from which every trainer's shape is made.

It is what the gate admitted, flat and without anything of the machinery: messages, tools, rewards, credit, and
token data where the back-end gave any. `Neutral.model_validate_json` reads an exported line back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from envs.trajectory import Ending, Message, Role, Step, Turn, Usage
from verifiers.verdict import Outcome, Verdict

from ..governance import Admitted
from ..records import Sampling
from .exporter import TABLES, Column, Row
from .rollout import Credit, Rollout
from .shape import opening, tools

NEUTRAL_VERSION: Literal["rollout-fork/episode/v1"] = "rollout-fork/episode/v1"


class Function(TypedDict):
    """What is called."""

    name: str
    arguments: dict[str, Any] | None  #: None: what the policy wrote was no JSON object; `raw` has it
    raw: NotRequired[str]  #: as the policy wrote it, where that differs


class Call(TypedDict):
    """A tool call in OpenAI's shape."""

    id: str
    type: Literal["function"]
    function: Function


class ChatMessage(TypedDict):
    """A message in OpenAI's shape, arguments as an object."""

    role: Role
    content: str
    tool_calls: NotRequired[list[Call]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NeutralTask(_Part):
    """What was asked."""

    task_id: str
    digest: str
    instruction: str
    language: str
    difficulty: str
    group: str
    split: str
    workdir: str
    image: str


class Tokens(_Part):
    """Token data of one reply, exactly as the back-end gave it. None: it gave none."""

    prompt_ids: list[int] | None
    completion_ids: list[int] | None
    logprobs: list[float] | None  #: natural log, one per completion token
    mask: list[int] | None  #: one per completion token: 1 made by this branch, 0 inherited from its parent


class NeutralTurn(_Part):
    """One reply of the model."""

    message: int  #: index of the assistant message in `messages`
    finish: str
    seconds: float
    usage: Usage
    log_prob: float | None  #: of the whole reply, natural log
    tokens: Tokens | None


class NeutralStep(_Part):
    """One tool call and what it was worth."""

    turn: int
    message: int
    call: int  #: index within the message's `tool_calls`
    result: int  #: index of the tool's message
    tool: str
    is_error: bool
    exit_code: int | None
    seconds: float
    log_prob: float | None
    advantage: float | None  #: on the tree of forks; None: nothing to compare it with
    trains: bool  #: the branch's own, with an advantage: each step of the tree is so once at most


class NeutralVerdict(_Part):
    """What a verifier said, without its evidence."""

    verifier: str
    outcome: Outcome
    score: float | None  #: in [0, 1]; None: it could not tell
    cause: str
    runs: int
    passes: int | None


class NeutralSampling(_Part):
    """Who acted, and how it was sampled."""

    policy: str
    model: str
    requested: Sampling
    effective: dict[str, Any]
    memories: list[str]


class Neutral(_Part):
    """One branch."""

    schema_version: Literal["rollout-fork/episode/v1"] = NEUTRAL_VERSION
    run_id: str
    rollout_id: str
    branch_id: str
    index: int  #: within the rollout
    parent: str | None
    fork_step: int  #: steps it shares with its parent
    group_id: str  #: branches of one group started from the same point, and are compared with one another
    task: NeutralTask
    messages: list[ChatMessage]
    tools: list[dict[str, Any]]
    prefix_messages: int  #: how many of `messages` were given to the branch: its prompt
    prefix_steps: int
    turns: list[NeutralTurn]
    steps: list[NeutralStep]
    ending: Ending
    stop: str  #: why the agent's loop ended
    reward: float | None  #: in [0, 1]; None: missing, which is not 0
    components: dict[str, float | None] = Field(default_factory=dict)  #: verifier -> score
    verdict: NeutralVerdict | None
    group_advantage: float | None  #: the branch's reward minus the mean of the others of its rollout
    sampling: NeutralSampling
    redacted: bool  #: secrets were replaced; token data, which spell them out, are gone

    @property
    def prompt(self) -> list[ChatMessage]:
        """What the branch was given."""
        return self.messages[: self.prefix_messages]

    @property
    def completion(self) -> list[ChatMessage]:
        """What it did, and what came back."""
        return self.messages[self.prefix_messages :]

    @property
    def own_turns(self) -> list[NeutralTurn]:
        """The replies it made itself."""
        return [turn for turn in self.turns if turn.message >= self.prefix_messages]


def neutral(admitted: Admitted, credit: Credit) -> Neutral:
    """The neutral record of a branch. `credit` is its rollout's."""
    record = admitted.record
    lineage, task, trajectory, result = record.lineage, record.task, record.trajectory, record.result
    start = opening(trajectory)
    worth, trains = credit.steps(lineage.branch_id), credit.trains(lineage.branch_id)
    return Neutral(
        run_id=lineage.run_id,
        rollout_id=lineage.rollout_id,
        branch_id=lineage.branch_id,
        index=lineage.index,
        parent=lineage.parent,
        fork_step=lineage.fork_step,
        group_id=f"{lineage.run_id}/{lineage.rollout_id}/{lineage.parent or 'root'}/{lineage.fork_step}",
        task=NeutralTask(
            task_id=task.task_id,
            digest=task.digest,
            instruction=task.instruction,
            language=task.language,
            difficulty=task.difficulty,
            group=task.group,
            split=admitted.split,
            workdir=record.environment.workdir,
            image=record.environment.image,
        ),
        messages=[_message(message) for message in trajectory.messages],
        tools=tools(trajectory),
        prefix_messages=start,
        prefix_steps=trajectory.prefix_steps,
        turns=[_turn(turn, start) for turn in trajectory.turns],
        steps=[
            _step(step, *((worth[i], trains[i]) if (i := step.index) < len(worth) else (None, False)))
            for step in trajectory.steps
        ],
        ending=result.ending,
        stop=trajectory.stop,
        reward=result.reward,
        components=_components(result.verdict),
        verdict=_verdict(result.verdict),
        group_advantage=credit.group(lineage.branch_id),
        sampling=NeutralSampling(
            policy=record.sampling.policy,
            model=record.sampling.model,
            requested=record.sampling.requested,
            effective=record.sampling.effective,
            memories=record.sampling.memories,
        ),
        redacted=bool(admitted.redactions),
    )


def neutral_schema() -> dict[str, Any]:
    """The JSON Schema of the neutral record, generated from the model."""
    return Neutral.model_json_schema()


def plain(message: ChatMessage, arguments: Literal["object", "text"] = "object") -> dict[str, Any]:
    """The message as trainers write it: without `raw`, malformed arguments as none.

    Arguments as a JSON "object", or as its "text", which is how OpenAI's API has them.
    """
    out: dict[str, Any] = {**message}
    if "tool_calls" in message:
        out["tool_calls"] = [_plain_call(call, arguments) for call in message["tool_calls"]]
    return out


def arguments_text(function: Function) -> str:
    """A call's arguments as the policy wrote them."""
    return function.get("raw") or json.dumps(function["arguments"] or {}, ensure_ascii=False)


def untold(record: Neutral) -> str | None:
    """Why a conversation cannot be written for a trainer without changing what was said."""
    if not any(message["role"] == "assistant" for message in record.completion):
        return "no_reply"
    calls = [call for message in record.messages for call in message.get("tool_calls", ())]
    return "malformed_tool_call" if any(call["function"]["arguments"] is None for call in calls) else None


class Episodes:
    """One neutral record for each branch that was admitted. Its JSON Schema: `neutral_schema()`."""

    name = "episodes"
    formats = TABLES
    columns: Mapping[str, Column] = {
        "run_id": "string",
        "rollout_id": "string",
        "branch_id": "string",
        "index": "int",
        "parent": "string",
        "fork_step": "int",
        "group_id": "string",
        "ending": "string",
        "reward": "float",
        "group_advantage": "float",
    }

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            yield neutral(admitted, rollout.credit).model_dump(mode="json")


def _plain_call(call: Call, arguments: Literal["object", "text"]) -> dict[str, Any]:
    function = call["function"]
    given = arguments_text(function) if arguments == "text" else function["arguments"] or {}
    return {**call, "function": {"name": function["name"], "arguments": given}}


def _message(message: Message) -> ChatMessage:
    out: Any = message.openai()
    for call, written in zip(message.tool_calls, out.get("tool_calls", ()), strict=True):
        written["function"]["arguments"] = call.arguments
        if call.raw:
            written["function"]["raw"] = call.raw
    return out  # type: ignore[no-any-return]


def _turn(turn: Turn, start: int) -> NeutralTurn:
    given = turn.tokens
    tokens = None
    if given is not None:
        ids = given.completion_ids
        own = int(turn.message >= start)
        tokens = Tokens(
            prompt_ids=given.prompt_ids,
            completion_ids=ids,
            logprobs=given.logprobs,
            mask=None if ids is None else [own] * len(ids),
        )
    return NeutralTurn(
        message=turn.message,
        finish=turn.finish,
        seconds=turn.seconds,
        usage=turn.usage,
        log_prob=turn.log_prob,
        tokens=tokens,
    )


def _step(step: Step, advantage: float | None, trains: bool) -> NeutralStep:
    return NeutralStep(
        turn=step.turn,
        message=step.message,
        call=step.call,
        result=step.result,
        tool=step.tool,
        is_error=step.observation.is_error,
        exit_code=step.observation.exit_code,
        seconds=step.seconds,
        log_prob=step.log_prob,
        advantage=advantage,
        trains=trains,
    )


def _components(verdict: Verdict | None) -> dict[str, float | None]:
    """Score by verifier: of a pipeline's parts, else of the one there was. A repeated one's runs are no parts."""
    if verdict is None:
        return {}
    parts = verdict.parts if verdict.passes is None else ()
    return {part.verifier: part.score for part in parts or (verdict,)}


def _verdict(verdict: Verdict | None) -> NeutralVerdict | None:
    if verdict is None:
        return None
    return NeutralVerdict(
        verifier=verdict.verifier,
        outcome=verdict.outcome,
        score=verdict.score,
        cause=verdict.cause,
        runs=verdict.runs,
        passes=verdict.passes,
    )
