"""prime-rl: tasks and traces of Prime Intellect's `verifiers` 0.4 (its `v1`).

The shapes are those of `TaskData` (`verifiers/v1/task.py`) and `WireTrace` (`verifiers/v1/trace.py`, `graph.py`) of
the package 0.4.0. That package has the import name of one of ours, so the files are made here and read there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ..errors import ConfigError
from .exporter import Column, Row
from .neutral import ChatMessage, Neutral, NeutralTurn, arguments_text, neutral
from .prompts import first_prompt
from .rollout import Rollout
from .sequences import TokenSequence, credit_of, exact_logprobs, lineage, token_sequences

#: The schema of traces that is written.
TRACE_VERSION = 1
#: What can be done with a run without token data.
INSTEAD = "; the option tokens=none writes the text alone"


class PrimeTasks:
    """One `TaskData` a task, for a `Taskset` whose `load` reads them."""

    name = "prime_tasks"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"id": "string"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        record = first_prompt(rollout, excluded)
        if record is not None:
            yield _task_data(record)


class PrimeTraces:
    """One trace for each branch: its messages as a graph, its reward, and tokens on the replies.

    Where its history was tokenised anew, the graph has a path of its own for each part. A reply's node carries
    what stood before it in the prompt, with the mask false, and then its own tokens; its advantages are the step's
    on the tree of forks. Without log-probabilities prime-rl would take 0 for each: a run without them is refused,
    or, with `tokens="none"`, written as text alone.
    """

    name = "prime_traces"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"id": "string"}

    def __init__(self, tokens: Literal["required", "none"] = "required") -> None:
        if tokens not in ("required", "none"):
            raise ConfigError(f'export {self.name}: tokens must be "required" or "none", not {tokens!r}')
        self.tokens = tokens

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            record = neutral(admitted, rollout.credit)
            parts: list[TokenSequence] = []
            if record.reward is None:
                excluded["no_reward"] += 1
                continue
            if self.tokens == "required":
                parts = token_sequences(
                    record, excluded, exporter=self.name, retokenised="split", instead=INSTEAD
                )
                if not parts:
                    continue
                self._need_logprobs(record, parts)
            yield _trace(record, parts)

    def _need_logprobs(self, record: Neutral, parts: list[TokenSequence]) -> None:
        if any(part.logprobs is None for part in parts):
            raise ConfigError(
                f"export {self.name}: branch {record.rollout_id}/{record.branch_id} (policy {record.sampling.policy}) "
                "lacks trajectory.turns[].tokens.logprobs (one for each token, at most 0); they come from the policy `openai` with `logprobs: true`"
                f"{INSTEAD}"
            )


def _trace(record: Neutral, parts: list[TokenSequence]) -> Row:
    graph = _Graph(record)
    if parts:
        for part in parts:
            graph.add_part(part)
    graph.add_rest()
    return {
        "version": TRACE_VERSION,
        "id": f"{record.run_id}/{record.rollout_id}/{record.branch_id}",
        "task": {"type": "RolloutForkTask", "data": _task_data(record), "key": record.task.digest},
        "agent": {
            "config": {"model": record.sampling.model or None, "sampling": _sampling(record)},
            "name": "agent",
            "trainable": bool(parts),
        },
        "tools": [_tool(tool) for tool in record.tools],
        "nodes": graph.nodes,
        "calls": [_call(record.turns[place], node) for place, node in sorted(graph.replies.items())],
        "rewards": {"reward": {"score": record.reward, "weight": 1.0}},
        "metrics": record.components,
        "info": lineage(record),
        "is_completed": True,
        "ok": True,
        "stop_condition": record.stop or None,
    }


class _Graph:
    """The nodes of one trace. `context` is the conversation without tokens, made as far as it is needed."""

    def __init__(self, record: Neutral) -> None:
        self.nodes: list[Row] = []
        self.replies: dict[int, int] = {}  # place of the turn -> its node
        self._record = record
        self._context: list[int] = []
        self._end = (0, -1)  # next message to add, node it follows

    def add_part(self, part: TokenSequence) -> None:
        """A path from the first message to the last reply of the part."""
        turns = self._record.turns
        credit = credit_of(self._record, part)
        at = turns[part.turns[0]].message
        parent = self._context_up_to(at)
        before, row = 0, part.prompt_ids
        for place, (start, stop), worth in zip(part.turns, part.spans, credit, strict=True):
            for message in range(at, turns[place].message):
                parent = self._add(message, parent)
            head = [*row, *part.response_ids[before:start]]
            parent = self._add(turns[place].message, parent, sampled=True)
            self.nodes[parent] |= _tokens(turns[place], head, part.response_ids[start:stop], worth)
            self.replies[place] = parent
            at, before, row = turns[place].message + 1, stop, []
        self._end = (at, parent)

    def add_rest(self) -> None:
        """What follows the last reply with tokens; without any, the whole conversation."""
        at, parent = self._end
        turns = enumerate(self._record.turns)  # of a prompt that did not fit the model nothing was said
        places = {turn.message: place for place, turn in turns if turn.finish != "context_overflow"}
        for message in range(at, len(self._record.messages)):
            own = message >= self._record.prefix_messages and message in places
            parent = self._add(message, parent, sampled=own)
            if own:
                self.replies[places[message]] = parent

    def _context_up_to(self, message: int) -> int:
        while len(self._context) < message:
            self._context.append(self._add(len(self._context), self._context[-1] if self._context else -1))
        return self._context[message - 1] if message else -1

    def _add(self, message: int, parent: int, sampled: bool = False) -> int:
        node: Row = {"parent": None if parent < 0 else parent}
        if parent < 0:
            node["tools"] = [_tool(tool) for tool in self._record.tools]
        self.nodes.append(node | {"message": _message(self._record.messages[message]), "sampled": sampled})
        return len(self.nodes) - 1


def _tokens(turn: NeutralTurn, head: list[int], said: list[int], worth: Mapping[str, Any]) -> Row:
    advantage = worth["advantage"] if worth["trains"] else None
    return {
        "token_ids": [*head, *said],
        "mask": [False] * len(head) + [True] * len(said),
        "logprobs": exact_logprobs(turn.tokens) or [],
        "advantages": None if advantage is None else [advantage] * len(said),
    }


def _call(turn: NeutralTurn, node: int) -> Row:
    finish = {"stop": "stop", "tool_calls": "tool_calls", "length": "length", "context_overflow": "length"}
    usage, cached = None, turn.usage.cached_tokens
    if turn.usage.input_tokens is not None and turn.usage.output_tokens is not None:
        usage = {
            "prompt_tokens": turn.usage.input_tokens
            - (cached or 0),  # theirs are without those read from a cache
            "completion_tokens": turn.usage.output_tokens,
            "cached_input_tokens": cached,
            "cost": turn.usage.cost_usd,
        }
    return {"node": node, "finish_reason": finish.get(turn.finish), "usage": usage}


def _message(message: ChatMessage) -> Row:
    """A message in their types: arguments are text, letter by letter."""
    out: Row = {"role": message["role"], "content": message["content"]}
    if "tool_calls" in message:
        out["tool_calls"] = [
            {"id": c["id"], "name": c["function"]["name"], "arguments": arguments_text(c["function"])}
            for c in message["tool_calls"]
        ]
    if message["role"] == "tool":
        out["tool_call_id"] = message.get("tool_call_id", "")
        if "name" in message:
            out["name"] = message["name"]
    return out


def _tool(tool: Mapping[str, Any]) -> Row:
    return {"type": "function", **tool["function"]}


def _task_data(record: Neutral) -> Row:
    system = [m["content"] for m in record.prompt if m["role"] == "system"]
    users = [m["content"] for m in record.prompt if m["role"] == "user"][
        :1
    ]  # later ones are answers to the agent
    task = record.task
    return {
        "id": task.task_id,
        "name": task.task_id,
        "prompt": users[0] if users else task.instruction,
        "system_prompt": "\n\n".join(system) or None,
        "image": task.image or None,
        "workdir": task.workdir,
        "digest": task.digest,
        "split": task.split,
        "language": task.language,
        "difficulty": task.difficulty,
        "group": task.group,
    }


def _sampling(record: Neutral) -> Row:
    known = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort")
    return {key: record.sampling.effective[key] for key in known if key in record.sampling.effective}
