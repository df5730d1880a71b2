"""A rollout function for TRL's GRPOTrainer: the trainer's model plays, real sandboxes answer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs import Message, Task, ToolCall
from envs.prompts import opening

from ..errors import ConfigError, EnvironmentLacks
from .attempt import Attempt, Bench

#: (trainer, token ids of each conversation, most tokens of a reply) -> (token ids, log-probabilities) of the replies
Generate = Callable[[Any, list[list[int]], int], tuple[list[list[int]], list[list[float]]]]
Prompt = list[dict[str, Any]]


def rollout_func(tasks: Path | str | Iterable[Task], **settings: Any) -> RolloutFunc:
    """What GRPOTrainer takes as `rollout_func`, beside `reward_funcs=verifier_reward`.

    `settings` are those of `RolloutFunc`, and of `Bench` for the rest.
    """
    own = {name: settings.pop(name) for name in ("generate", "max_turns", "task_of") if name in settings}
    return RolloutFunc(Bench(tasks, **settings), **own)


def verifier_reward(
    prompts: Sequence[Any], env_reward: Sequence[float | None], **_: Any
) -> list[float | None]:
    """The reward function that goes with `rollout_func`. None where the machinery failed: TRL leaves such a
    completion out of its group's baseline and gives it no advantage (while there is no other reward function)."""
    return list(env_reward)


class RolloutFunc:
    """Plays a batch: one completion for each prompt given, all in lock step, so that a seed gives the same again.

    Returns `prompt_ids`, `completion_ids`, `logprobs`, `env_mask` (1: the model's own token, 0: a tool's result) and
    `env_reward` (None: the machinery failed). Log-probabilities are natural ones at the trainer's temperature,
    before top-k, top-p and min-p; what tools said has 0.0, as in TRL's own loop, and is masked.

    A completion ends with a reply without a call, with `submit`, after `max_turns` replies, or where
    `max_completion_length` or the model's context is full.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        generate: Generate | None = None,
        max_turns: int = 32,
        task_of: Callable[[Prompt], str] | None = None,
    ) -> None:
        """`generate` samples replies (default: transformers, on the trainer's model). `task_of` gives the id of a
        prompt's task; by default it is the task with which the user's turn begins."""
        self.bench = bench
        self.max_turns = max_turns
        self._generate = generate
        self._task_of = task_of or _by_opening(bench.tasks.values())

    def __call__(self, prompts: list[Prompt], trainer: Any) -> dict[str, list[Any]]:
        """See the class. Raises `ConfigError` for a prompt of no known task and a trainer that cannot be served."""
        if len(prompts) > self.bench.max_kernels:
            raise ConfigError(
                f"max_kernels is {self.bench.max_kernels}: too few for {len(prompts)} completions at once"
            )
        generate = self._generate or _default_generate(trainer)
        chat = Chat(trainer, [spec.openai() for spec in self.bench.specs])
        tasks = [self.bench.task(self._task_of(prompt)) for prompt in prompts]
        seats = [Seat(chat.opening(prompt)) for prompt in prompts]
        for seat, attempt in zip(seats, self.bench.run(_together(map(self.bench.begin, tasks))), strict=True):
            seat.attempt = attempt
        for _ in range(self.max_turns):
            playing = [seat for seat in seats if seat.room(trainer) > 0 and not seat.over]
            if not playing:
                break
            most = max(seat.room(trainer) for seat in playing)
            replies = generate(trainer, [seat.ids for seat in playing], most)
            answering = [
                seat.answer(chat, ids[: seat.room(trainer)], logprobs[: seat.room(trainer)], trainer)
                for seat, ids, logprobs in zip(playing, *replies, strict=True)
            ]
            self.bench.run(_together(answering))
        rewards = self.bench.run(_together(seat.attempt.reward() for seat in seats))
        return {
            "prompt_ids": [seat.prompt_ids for seat in seats],
            "completion_ids": [seat.completion_ids for seat in seats],
            "logprobs": [seat.logprobs for seat in seats],
            "env_mask": [seat.mask for seat in seats],
            "env_reward": list(rewards),
        }

    def close(self) -> None:
        """End every sandbox. Idempotent."""
        self.bench.close()


@dataclass
class Seat:
    """One completion in the making."""

    prompt_ids: list[int]
    completion_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    over: bool = False
    attempt: Attempt = field(init=False)

    @property
    def ids(self) -> list[int]:
        """The conversation so far."""
        return self.prompt_ids + self.completion_ids

    def room(self, trainer: Any) -> int:
        """How many tokens may still come."""
        context = getattr(trainer.model.config, "max_position_embeddings", None)
        left = int(trainer.max_completion_length) - len(self.completion_ids)
        return left if context is None else min(left, int(context) - len(self.ids))

    async def answer(self, chat: Chat, ids: list[int], logprobs: list[float], trainer: Any) -> None:
        """Take a reply, make its calls, and add what the tools say."""
        before = self.ids
        self._add(ids, logprobs, 1)
        message = chat.read(ids, before)
        if self.attempt.lost or not ids or ids[-1] not in trainer.eos_token_ids:
            self.over = True  # lost, or cut off: what a half reply asks for is not done
            return
        self.attempt.record_reply(message)
        results = []
        for call in message.tool_calls:
            if self.attempt.over:
                break
            said = await self.attempt.call(call.name, call.arguments, call.id)
            results.append({"role": "tool", "name": call.name, "content": said})
        if not results or self.attempt.over:
            self.over = True
            return
        shown = chat.results(results)
        if len(shown) >= self.room(trainer):
            self.over = True
        else:
            self._add(shown, [0.0] * len(shown), 0)

    def _add(self, ids: list[int], logprobs: list[float], own: int) -> None:
        self.completion_ids += ids
        self.logprobs += logprobs
        self.mask += [own] * len(ids)


class Chat:
    """Conversations as token ids and back, with the trainer's tokenizer and chat template."""

    def __init__(self, trainer: Any, tools: list[dict[str, Any]]) -> None:
        try:
            from trl.chat_template_utils import add_response_schema, is_chat_template_prefix_preserving
        except ImportError as error:
            raise EnvironmentLacks('needs TRL: pip install "rollout-fork[trl]"') from error
        given = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
        self._tokenizer = copy.copy(given)  # the trainer would parse with what is set here
        self._tools = tools
        self._settings = dict(getattr(trainer, "chat_template_kwargs", None) or {})
        if not any(getattr(given, name, None) for name in ("response_template", "response_schema")):
            try:
                add_response_schema(self._tokenizer)
            except ValueError as error:
                raise ConfigError(
                    "the tokenizer's chat template is unknown to TRL, so calls cannot be read from replies; "
                    "set tokenizer.response_template"
                ) from error
        if not is_chat_template_prefix_preserving(self._tokenizer):
            from trl import get_training_chat_template

            self._settings["chat_template"] = get_training_chat_template(self._tokenizer)

    def opening(self, prompt: Prompt) -> list[int]:
        """A prompt up to where the model begins to speak. Raises `ConfigError` for a prompt that is no messages."""
        if not isinstance(prompt, list):
            raise ConfigError('the column "prompt" must hold messages, not text')
        return self._render(prompt, add_generation_prompt=True)

    def results(self, messages: Prompt) -> list[int]:
        """What stands between the end of a reply with calls and the next reply.

        The difference between a small conversation with and without these results: rendering the real one again
        could give other ids for what the model has said than the ones it sampled.
        """
        calls = [{"type": "function", "function": {"name": m["name"], "arguments": {}}} for m in messages]
        small: Prompt = [
            {"role": "user", "content": "-"},
            {"role": "assistant", "content": "", "tool_calls": calls},
        ]
        head = self._render(small)
        whole = self._render([*small, *messages], add_generation_prompt=True)
        ends = [place for place, token in enumerate(head) if token == self._tokenizer.eos_token_id]
        head = head[: ends[-1] + 1] if ends else head
        if whole[: len(head)] != head:
            raise ConfigError(
                "the chat template renders a reply otherwise once results follow; use another one"
            )
        return whole[len(head) :]

    def read(self, ids: list[int], before: list[int]) -> Message:
        """A reply as a message. What cannot be read as calls is text."""
        from trl.chat_template_utils import parse_response

        said = parse_response(self._tokenizer, ids, prefix=before, tools=self._tools)
        calls = [call.get("function") or {} for call in said.get("tool_calls") or ()]
        return Message(
            role="assistant",
            content=str(said.get("content") or ""),
            tool_calls=tuple(
                ToolCall(
                    id=f"call_{len(before)}_{place}",
                    name=str(call.get("name")),
                    arguments=call["arguments"] if isinstance(call.get("arguments"), dict) else None,
                )
                for place, call in enumerate(calls)
            ),
        )

    def _render(self, messages: Prompt, **how: Any) -> list[int]:
        ids: list[int] = self._tokenizer.apply_chat_template(
            messages, tools=self._tools, tokenize=True, return_dict=False, **how, **self._settings
        )
        return ids


def _default_generate(trainer: Any) -> Generate:
    if getattr(trainer, "use_vllm", False):
        raise ConfigError(
            "rollout_func samples with transformers and this trainer with vLLM (use_vllm); "
            "take environment_factory, or give rollout_func your own `generate`"
        )
    from .trl_sampling import generate

    return generate


def _by_opening(tasks: Iterable[Task]) -> Callable[[Prompt], str]:
    """Finds the task with whose text the user's turn begins."""
    known: dict[str, str] = {}
    for task in tasks:
        text = opening(task)[-1].content
        if text in known:
            raise ConfigError(f"tasks {known[text]} and {task.id} have the same text; say which by `task_of`")
        known[text] = task.id

    def task_of(prompt: Prompt) -> str:
        asked = next((str(m.get("content")) for m in prompt if m.get("role") == "user"), "")
        found = known.get(asked) or next((known[t] for t in known if asked.startswith(f"{t}\n\n")), None)
        if found is None:
            raise ConfigError(
                f"no task of this training begins like the prompt {asked[:60]!r}; "
                "take prompts from `prompt_rows` or the export `grpo`, or give `task_of`"
            )
        return found

    return task_of


async def _together(work: Iterable[Any]) -> list[Any]:
    return list(await asyncio.gather(*work))
