"""Token sequences of a branch, as its back-end gave them: what was put in, what the model made of it.

A conversation of several turns is one sequence only where the model really saw it so: the prompt of each turn
begins with the prompt and the completion of the one before. What lies between is the tools' text, with the mask
0. Where a history was tokenised anew (thoughts left out, calls written otherwise, a fork that kept a part of a
reply), the sequence ends and another begins. Nothing is tokenised here, and no log-probability is made up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import ConfigError
from .neutral import Neutral, NeutralTurn, neutral
from .rollout import Rollout

#: What a log-probability of a server that would not say it looks like.
_UNSAID = -9999.0

Retokenised = Literal["refuse", "split"]


@dataclass
class TokenSequence:
    """One prompt and what followed. `response_ids`, `mask` and `logprobs` have one entry per response token."""

    prompt_ids: list[int]
    response_ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)  #: 1 exactly on the tokens that the model made
    #: natural log; 0.0, which all these trainers put there, where the mask is 0. None: a turn has none
    logprobs: list[float] | None = field(default_factory=list)
    turns: list[int] = field(default_factory=list)  #: places of its turns in `Neutral.turns`
    spans: list[tuple[int, int]] = field(default_factory=list)  #: of each turn's own tokens in the response

    def continues(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt begins with all of this sequence."""
        head = len(self.prompt_ids)
        return (
            len(prompt_ids) >= head + len(self.response_ids)
            and list(prompt_ids[:head]) == self.prompt_ids
            and list(prompt_ids[head : head + len(self.response_ids)]) == self.response_ids
        )


def retokenised_option(exporter: str, value: Retokenised) -> Retokenised:
    """The option `retokenised`, checked: it may come from a command line. Raises `ConfigError`."""
    if value not in get_args(Retokenised):
        raise ConfigError(f'export {exporter}: retokenised must be "refuse" or "split", not {value!r}')
    return value


def rewarded(
    rollout: Rollout, excluded: Counter[str], *, exporter: str, retokenised: Retokenised
) -> Iterator[tuple[Neutral, float, list[TokenSequence]]]:
    """The branches that have a reward, each with it and its sequences. See `token_sequences`."""
    for admitted in rollout:
        record = neutral(admitted, rollout.credit)
        if record.reward is None:
            excluded["no_reward"] += 1
        else:
            parts = token_sequences(record, excluded, exporter=exporter, retokenised=retokenised)
            yield record, record.reward, parts


def token_sequences(
    record: Neutral, excluded: Counter[str], *, exporter: str, retokenised: Retokenised, instead: str = ""
) -> list[TokenSequence]:
    """The sequences of a branch's own turns, in order; empty with a reason in `excluded` where it has none.

    "refuse": a branch that is not one sequence is left out. "split": each of its sequences is given. Raises
    `ConfigError`, naming the field and the policy that fills it, where no turn of the branch has token ids;
    `instead` says what else the user can do.
    """
    turns = [
        (place, turn) for place, turn in enumerate(record.turns) if turn.message >= record.prefix_messages
    ]
    spoken = [
        (place, turn) for place, turn in turns if turn.finish != "context_overflow"
    ]  # there nothing was said
    if not spoken:
        excluded["no_reply"] += 1
        return []
    if record.redacted:
        excluded["redacted_so_no_tokens"] += 1
        return []
    known = [(place, turn, tokens) for place, turn in spoken if (tokens := _ids(turn)) is not None]
    if not known:
        raise ConfigError(_lacking(record, [turn for _, turn in spoken], exporter) + instead)
    if len(known) < len(spoken):
        excluded["token_ids_of_some_turns_only"] += 1
        return []
    sequences = _joined(known)
    if len(sequences) > 1 and retokenised == "refuse":
        excluded["retokenised_history"] += 1
        return []
    return sequences


def _joined(turns: list[tuple[int, NeutralTurn, tuple[list[int], list[int]]]]) -> list[TokenSequence]:
    sequences: list[TokenSequence] = []
    for place, turn, (prompt_ids, completion_ids) in turns:
        if not sequences or not sequences[-1].continues(prompt_ids):
            sequences.append(TokenSequence(list(prompt_ids)))
        last = sequences[-1]
        between = prompt_ids[len(last.prompt_ids) + len(last.response_ids) :]
        start = len(last.response_ids) + len(between)
        last.response_ids += [*between, *completion_ids]
        last.mask += [0] * len(between) + [1] * len(completion_ids)
        said = exact_logprobs(completion_ids, turn.tokens.logprobs if turn.tokens else None)
        if last.logprobs is not None:
            last.logprobs = None if said is None else [*last.logprobs, *[0.0] * len(between), *said]
        last.turns.append(place)
        last.spans.append((start, len(last.response_ids)))
    return sequences


def credit_of(record: Neutral, sequence: TokenSequence) -> list[dict[str, Any]]:
    """What each turn of a sequence was worth: {turn, start, stop, advantage, trains}.

    [start, stop) are its own tokens in the response. Its advantage is that of its first tool call; a turn without
    a call has none.
    """
    first = {step.message: step for step in reversed(record.steps)}
    out = []
    for place, (start, stop) in zip(sequence.turns, sequence.spans, strict=True):
        step = first.get(record.turns[place].message)
        advantage = None if step is None else step.advantage
        trains = step is not None and step.trains
        out.append({"turn": place, "start": start, "stop": stop, "advantage": advantage, "trains": trains})
    return out


def lineage(record: Neutral) -> dict[str, Any]:
    """Where a row comes from, for the field that a trainer keeps as it is."""
    return {
        "run_id": record.run_id,
        "rollout_id": record.rollout_id,
        "branch_id": record.branch_id,
        "parent": record.parent,
        "fork_step": record.fork_step,
        "group_id": record.group_id,
        "group_advantage": record.group_advantage,
        "task_id": record.task.task_id,
        "task_digest": record.task.digest,
        "policy": record.sampling.policy,
        "model": record.sampling.model,
        "ending": record.ending,
        "components": record.components,
    }


def exact_logprobs(ids: Sequence[int] | None, logprobs: list[float] | None) -> list[float] | None:
    """A reply's log-probabilities if there is one, and a possible one, for each of its token ids."""
    if ids is None or logprobs is None or len(ids) != len(logprobs):
        return None
    return logprobs if all(_UNSAID < value <= 0.0 for value in logprobs) else None


def _ids(turn: NeutralTurn) -> tuple[list[int], list[int]] | None:
    tokens = turn.tokens
    if tokens is None or tokens.prompt_ids is None or not tokens.completion_ids:
        return None
    return tokens.prompt_ids, tokens.completion_ids


def _lacking(record: Neutral, turns: list[NeutralTurn], exporter: str) -> str:
    given = any(turn.tokens is not None and turn.tokens.completion_ids for turn in turns)
    what = "prompt_ids" if given else "completion_ids"
    return (
        f"export {exporter}: branch {record.rollout_id}/{record.branch_id} (policy {record.sampling.policy}) lacks "
        f"trajectory.turns[].tokens.{what}; they come from the policy `openai` with `token_ids: true` and a server "
        "that gives them (vLLM, SGLang)"
    )
