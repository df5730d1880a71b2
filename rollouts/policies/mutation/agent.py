"""The mutation policy: a program-repair agent without a language model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from envs.tools import ToolSpec
from envs.trajectory import Message, ToolCall

from ...errors import ConfigError
from ...records import Sampling
from ..policy import PolicyReply
from . import candidates, edits, spectrum, weights
from .history import SLICE, SLICES, Start, State, fingerprint, replay
from .source import Mutation
from .weights import vector

NEEDED = ("run_tests", "bash", "read_file", "edit_file", "submit")
FILES = 3  #: sources that are read and changed, the most suspicious ones
REFUSALS = 3  #: edits the tool may refuse before the work is handed in as it is

_MENTION = re.compile(r"([\w./-]+\.\w{1,5}|[\w./-]*Makefile):(\d+)\b")
_SECONDS = re.compile(r" in ([\d.]+) ?s")

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Move:
    """The next message: why, which calls, and how likely they were."""

    why: str
    calls: tuple[Call, ...] = ()
    log_prob: float = 0.0  #: deterministic moves have probability 1
    event: dict[str, Any] = field(default_factory=dict)


class MutationPolicy:
    """Runs the visible tests, localises the fault from coverage, and tries edits until the tests pass.

    `weights` overrides the feature weights of `weights.DEFAULTS` (a mapping, or the path of a JSON file);
    `tries` bounds the edits tested in one branch (a third of it in other languages than Python, where the
    edits are blind); `temperature` is used where the sampling names none.
    A reply that chose an edit carries its exact log-probability and an event of kind "choice" from which
    `weights.gradient` computes the score function; every other reply is deterministic (log-probability 0).
    """

    def __init__(
        self,
        weights: Mapping[str, float] | str | Path | None = None,
        tries: int = 32,
        temperature: float = 1.0,
    ) -> None:
        if isinstance(tries, bool) or not isinstance(tries, int) or tries < 0:
            raise ConfigError(f"mutation policy: tries is {tries!r}, must be a number of edits, 0 or more")
        if not isinstance(temperature, int | float) or not 0 <= temperature < math.inf:
            raise ConfigError(f"mutation policy: temperature is {temperature!r}, must be 0 or more")
        self._weights = vector(weights)
        self.tries = tries
        self.temperature = float(temperature)

    @property
    def name(self) -> str:
        return "mutation"

    @property
    def model(self) -> str:
        return ""

    @property
    def converses(self) -> bool:
        """It only repairs, with tools."""
        return False

    @property
    def log_probs(self) -> bool:
        """Exact ones, of every reply."""
        return True

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """What cannot be honoured. Raises `ConfigError` when two branches would be the same."""
        seen: dict[tuple[int | None, float], int] = {}
        for index, sampling in enumerate(samplings):
            key = (sampling.seed, self._temperature(sampling))
            if key in seen:
                raise ConfigError(
                    f"sampling: branches {seen[key]} and {index} have the same seed ({key[0]}) and temperature "
                    f"({key[1]:g}), so the mutation policy would run the same branch twice; "
                    "give each branch a seed of its own"
                )
            seen[key] = index
        greedy = sum(t <= 0 for _, t in seen)
        if greedy > 1:
            raise ConfigError(
                f"sampling: {greedy} branches have temperature 0, at which the mutation policy draws nothing "
                "and all are the same; give at most one branch temperature 0"
            )
        ignored = ("top_p", "effort", "prompt_variant", "max_tokens")
        used = [name for name in ignored if any(getattr(s, name) is not None for s in samplings)]
        return [f"The mutation policy has no use for {name}; it is ignored." for name in used]

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The next message: a test run, the localisation, a look at files, an edit with its test, or `submit`."""
        temperature = self._temperature(sampling)
        effective = {"temperature": temperature, "seed": sampling.seed}
        absent = [name for name in NEEDED if name not in {tool.name for tool in tools}]
        if absent:
            text = f"I cannot work without the tool {absent[0]}."
            return PolicyReply(
                Message(role="assistant", content=text), "stop", log_prob=0.0, effective=effective
            )
        state = replay(messages)
        due = self.due(state)
        if isinstance(due, Options):
            due = self._draw(due, state, fingerprint(messages), sampling.seed, temperature)
        move = with_timeouts(due, state, tools)
        turn = sum(message.role == "assistant" for message in messages)
        calls = tuple(
            ToolCall(id=f"call_{turn}_{position}", name=name, arguments=arguments)
            for position, (name, arguments) in enumerate(move.calls)
        )
        return PolicyReply(
            Message(role="assistant", content=move.why, tool_calls=calls),
            "tool_calls",
            log_prob=move.log_prob,
            effective=effective,
            events=(move.event,) if move.event else (),
        )

    async def close(self) -> None:
        """Nothing is held."""

    def due(self, state: State) -> Move | Options:
        """What comes next: a deterministic move, or the edits of which one is to be chosen."""
        move = self._opening(state)
        if move is not None:
            return move
        limit = self._limit(state)
        if state.tries >= limit:
            return _submit(_left_failing(state, f"{state.tries} edits were tried"), state)
        options = _options(state)
        return options if options.edits else _submit(_left_failing(state, "no edit is left to try"), state)

    def trial(self, options: Options, index: int, state: State) -> Move:
        """The move that tries one of the edits: make it, and run the tests."""
        start, path, edit = options.edits[index]
        text = start.files[path]
        target = {**start.files, path: text[: edit.start] + edit.new + text[edit.end :]}
        why = f"Try {state.tries + 1} of {self._limit(state)}: {_told(path, edit, text)}"
        return Move(why, (*_changes(state, target), ("run_tests", {})))

    def _limit(self, state: State) -> int:
        """The edits to try: a third as many where all that is known of the sources is their text."""
        python = any(path.endswith(".py") for path in state.base)
        return self.tries if python else math.ceil(self.tries / 3)

    def _temperature(self, sampling: Sampling) -> float:
        return self.temperature if sampling.temperature is None else sampling.temperature

    def _opening(self, state: State) -> Move | None:
        """Everything but the choice of an edit; None when it is time for one."""
        if state.refused >= REFUSALS:
            return _submit("The files could not be edited as read; nothing more was tried.", state)
        if not state.tested or state.best is None:
            return Move("Run the visible tests.", (("run_tests", {}),))
        if state.best.green:
            if state.kept:
                return _submit(f"All visible tests pass now; edits tried: {state.tries}.", state)
            return _submit("The visible tests pass on the code as it is; nothing was changed.", state)
        if not state.located:
            command = spectrum.command(state.best.files)
            why = "Find the lines that failing tests run and passing tests do not."
            return Move(why, (("bash", {"command": command, "timeout_s": 30.0}),))
        reads = _reads(state)
        if reads:
            return Move("Read the most suspicious files.", tuple(reads))
        return None

    def _draw(
        self, options: Options, state: State, history: str, seed: int | None, temperature: float
    ) -> Move:
        """Draw the next edit; `history` is the digest of what was said and done so far."""
        log_p, p = weights.probabilities(options.features, self._weights, temperature)
        rng = Random(sha256(f"{seed}:{history}".encode()).digest())
        drawn = weights.draw(p, rng)
        event = {
            "kind": "choice",
            "features": weights.named(options.features[drawn]),
            "mean_features": weights.named(p @ options.features),
            "temperature": temperature,
            "n_candidates": len(options.edits),
        }
        tried = self.trial(options, drawn, state)
        return Move(tried.why, tried.calls, float(log_p[drawn]), event)


@dataclass(frozen=True)
class Options:
    """The edits that have not been tried, each with the state it starts from, and their features."""

    edits: list[tuple[Start, str, Mutation]]
    features: weights.Floats


def _options(state: State) -> Options:
    edits_left: list[tuple[Start, str, Mutation]] = []
    rows = [np.zeros((0, len(weights.NAMES)))]
    for start in state.starts():
        paths = _paths(start)
        files = {path: start.files[path] for path in paths if path in start.files}
        found = start.spectrum or spectrum.Spectrum()
        pool = candidates.pool(files, found, _mentions(start, files))
        tried = pool.tried(list(state.tried))
        gone = set(tried)
        left = [i for i in range(len(pool.edits)) if i not in gone]
        features = pool.features(tried)[left]
        features[:, weights.COLUMN["from_origin"]] = float(start.files != state.base)
        rows.append(features)
        edits_left += [(start, pool.paths[i], pool.edits[i]) for i in left]
    return Options(edits_left, np.concatenate(rows))


def _paths(start: Start) -> list[str]:
    """The files to read and to change, the most suspicious first."""
    found = start.spectrum.files() if start.spectrum else []
    named = [path for path, _ in _mentions(start, found)]
    covered = [path for path in found if start.spectrum and start.spectrum.covers(path)]
    return list(dict.fromkeys([*covered, *named, *found]))[:FILES]


def _mentions(start: Start, known: Sequence[str] | Mapping[str, str]) -> list[tuple[str, int]]:
    """`file:line` in the output of the tests, for known files."""
    found = ((path.removeprefix("./"), int(line)) for path, line in _MENTION.findall(start.tests))
    return list(dict.fromkeys(at for at in found if at[0] in known))[:20]


def _reads(state: State) -> list[Call]:
    """The reads that are still needed: whole files first, long ones on in ranges."""
    calls: list[Call] = []
    for path in _paths(state.starts()[0]):
        start = state.missing(path)
        if start is None:
            continue
        if path not in state.slices:
            calls.append(("read_file", {"path": path}))
        else:
            calls += [
                ("read_file", {"path": path, "offset": start + SLICE * k, "limit": SLICE})
                for k in range(SLICES)
            ]
    return calls


def _changes(state: State, target: Mapping[str, str]) -> list[Call]:
    """The edits from the files as they are, an earlier trial in them, to the target."""
    out: list[Call] = []
    for path, after in target.items():
        before, base = state.current[path], state.base[path]
        direct = edits.between(before, after)
        if direct and direct[0].count("\n") > edits.MAX_LINES and before != base != after:
            out += [*_edit_call(path, before, base), *_edit_call(path, base, after)]
        else:
            out += _edit_call(path, before, after)
    return out


def _edit_call(path: str, before: str, after: str) -> list[Call]:
    edit = edits.between(before, after)
    if edit is None:
        return [("write_file", {"path": path, "content": after})] if before != after else []
    return [("edit_file", {"path": path, "old": edit[0], "new": edit[1]})]


def _submit(answer: str, state: State) -> Move:
    """Hand in the best state."""
    undo = [call for path in state.dirty for call in _edit_call(path, state.current[path], state.base[path])]
    return Move(answer, (*undo, ("submit", {"answer": answer})))


def _left_failing(state: State, why: str) -> str:
    failing = state.best.failing if state.best else None
    count = "An unknown number of" if failing is None else str(failing)
    kept = " An edit that made some of them pass was kept." if state.kept else " No edit was kept."
    return f"Not solved: {why} and {count} visible test(s) still fail.{kept}"


def _told(path: str, edit: Mutation, text: str) -> str:
    old, new = (" ".join(part.split())[:60] for part in (text[edit.start : edit.end], edit.new))
    return f"{path} line {edit.line}, {edit.op}: `{old}` becomes `{new}`"


def with_timeouts(move: Move, state: State, tools: Sequence[ToolSpec]) -> Move:
    """A bound on test runs, where `run_tests` takes one: an edit that never ends should cost little."""
    spec = next(tool for tool in tools if tool.name == "run_tests")
    if "timeout_s" not in spec.parameters.get("properties", {}):
        return move
    took = max((float(s) for s in _SECONDS.findall(state.tests)), default=0.0)
    bound = 2.0 + 2.0 * math.ceil(4.0 * took + 0.5) if state.tests else 20.0
    calls = tuple(
        (name, {"timeout_s": bound} if name == "run_tests" else arguments) for name, arguments in move.calls
    )
    return Move(move.why, calls, move.log_prob, move.event)
