"""Program repair as a discrete choice, for learners that know nothing of text.

    env = CandidateEdits(gymnasium.make("envs:rollout_fork/CodeTask-v0", suite="suite:starter", max_steps=200))
    observation, info = env.reset(seed=1)
    observation, reward, terminated, truncated, info = env.step(0)

The mutation policy does all that is no choice: it runs the tests, finds suspicious lines, reads files, and hands in.
Each action picks one of the edits that it could try next.
"""

from __future__ import annotations

import copy
import json
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from envs.code_task import CodeTaskEnv, Stepped

from ..errors import ConfigError
from ..policies.mutation import weights
from ..policies.mutation.agent import NEEDED, Move, MutationPolicy, Options, with_timeouts
from ..policies.mutation.history import State, replay

#: Features are logarithms, shares and flags; what lies outside (it does not happen) is cut off.
BOUND = 100.0

Observed = dict[str, NDArray[Any]]


class CandidateEdits(gymnasium.Wrapper[Observed, Any, str, str], RecordConstructorArgs):
    """Action i tries the i-th of the `n_actions` best edits, best by the mutation policy's default weights.

    Observation: `{"features": (n_actions, F) float32, "mask": (n_actions,) int8}`. Row i holds the features of edit i
    (`rollouts.policies.mutation.weights.NAMES`, F of them), zeros where there is no edit; the mask is 1 where there
    is one, and also stands in `info["action_mask"]`. An action beyond the last edit takes the last one, so that
    learners without masks work, too. Where all edits were tried, or the tests pass, the work is handed in, which
    ends the episode. The reward is the wrapped env's: the verifier's score at the end, 0 before.

    An edit takes two steps and more of the wrapped env, so that wants a large `max_steps`.
    """

    def __init__(self, env: gymnasium.Env[str, str], n_actions: int = 64, tries: int = 32) -> None:
        """`env` is a `CodeTaskEnv`, wrapped or not, with the usual tools; `tries` bounds the edits of an episode.

        Raises `ValueError` and `ConfigError` for what cannot be.
        """
        if isinstance(n_actions, bool) or not isinstance(n_actions, int) or n_actions < 1:
            raise ValueError(f"n_actions is {n_actions!r}; it must be a whole number, at least 1")
        if not isinstance(env.unwrapped, CodeTaskEnv):
            raise ValueError(f"CandidateEdits wraps a CodeTaskEnv, not {type(env.unwrapped).__name__}")
        RecordConstructorArgs.__init__(self, n_actions=n_actions, tries=tries)
        gymnasium.Wrapper.__init__(self, env)  # type: ignore[misc]  # of its four type parameters, env has two
        self._text = env
        self._policy = MutationPolicy(tries=tries)
        self._order = weights.vector(None)
        self._n = n_actions
        self._state: State | None = None
        self._options: Options | None = None
        self._ranked: list[int] = []  # indices of the offered edits, the best first
        self._info: dict[str, Any] = {}
        self._ended: Stepped | None = None  # the episode ended before there was anything to choose
        shape = (n_actions, len(weights.NAMES))
        spaces: dict[str, gymnasium.Space[Any]] = {
            "features": Box(-BOUND, BOUND, shape, np.float32),
            "mask": MultiBinary(n_actions),
        }
        self.observation_space = Dict(spaces)  # type: ignore[assignment]
        self.action_space = Discrete(n_actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin, and go on to the first choice. Raises as the wrapped env's, and `ConfigError` without the tools."""
        _, self._info = self._text.reset(seed=seed, options=options)
        self._state, self._options, self._ranked, self._ended = None, None, [], None
        if self._info["missing"]:
            self._ended = cast(Stepped, self._text.step(""))
        else:
            self._check_tools()
            self._ended = self._advance()
        return self._observed(), self._told()

    def step(self, action: Any) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """Try an edit, and go on to the next choice or the end. Raises `InvalidAction` outside 0..n_actions - 1."""
        if not self.action_space.contains(action):
            raise InvalidAction(f"{str(action)[:80]} is no action; they are the numbers 0..{self._n - 1}")
        if self._ended is not None:
            stepped, self._ended = self._ended, None
        elif self._options is None or self._state is None:
            raise ResetNeeded("the episode has ended; call reset before the next step")
        else:
            chosen = self._ranked[min(int(action), len(self._ranked) - 1)]
            move = self._policy.trial(self._options, chosen, self._state)
            stepped = self._carry_out(move, self._state)
            if not (stepped[2] or stepped[3]):
                stepped = self._advance() or stepped
        if stepped[2] or stepped[3]:
            self._options, self._ranked = None, []
        _, reward, terminated, truncated, self._info = stepped
        return self._observed(), reward, terminated, truncated, self._told()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions stand for an edit of their own, (n_actions,) bool; what sb3-contrib's masked learners ask."""
        return np.arange(self._n) < len(self._ranked)

    def _advance(self) -> Stepped | None:
        """Do what is no choice, up to the next one; the last step when the episode ended on the way."""
        base = cast(CodeTaskEnv, self._text.unwrapped)
        while True:
            self._state = replay(base.trajectory.messages)
            due = self._policy.due(self._state)
            if isinstance(due, Options):
                scores = due.features @ self._order
                self._options = due
                self._ranked = [int(i) for i in np.argsort(-scores, kind="stable")[: self._n]]
                return None
            stepped = self._carry_out(due, self._state)
            if stepped[2] or stepped[3]:
                self._options, self._ranked = None, []
                return stepped

    def _carry_out(self, move: Move, state: State) -> Stepped:
        """Make the calls of a move, one step each, until the episode ends; the last step."""
        base = cast(CodeTaskEnv, self._text.unwrapped)
        stepped: Stepped | None = None
        for name, arguments in with_timeouts(move, state, base.tools).calls:
            stepped = cast(Stepped, self._text.step(json.dumps({"tool": name, "arguments": arguments})))
            self._info = stepped[4]
            if stepped[2] or stepped[3]:
                break
        assert stepped is not None, "a move has calls"
        return stepped

    def _observed(self) -> Observed:
        features = np.zeros((self._n, len(weights.NAMES)), np.float32)
        if self._options is not None and self._ranked:
            features[: len(self._ranked)] = np.clip(self._options.features[self._ranked], -BOUND, BOUND)
        return {"features": features, "mask": self.action_masks().astype(np.int8)}

    def _told(self) -> dict[str, Any]:
        candidates = 0 if self._options is None else len(self._options.edits)
        info = copy.deepcopy(self._info)
        return {**info, "action_mask": self.action_masks(), "n_candidates": candidates}

    def _check_tools(self) -> None:
        names = {tool.name for tool in cast(CodeTaskEnv, self._text.unwrapped).tools}
        if absent := [name for name in NEEDED if name not in names]:
            raise ConfigError(f"CandidateEdits needs the tool {absent[0]}, which this env has not")
