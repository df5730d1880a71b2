"""The text env for learners that want numbers: observations as token ids, actions as token ids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Observed = dict[str, Ids]
Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]


BYTES = 256  #: the vocabulary of `encode_bytes` and `decode_bytes`


def encode_bytes(text: str) -> list[int]:
    """A text as its UTF-8 bytes; lone surrogates become `?`."""
    return list(text.encode("utf-8", "replace"))


def decode_bytes(ids: Sequence[int]) -> str:
    """The text of UTF-8 bytes; what is none becomes U+FFFD."""
    return bytes(ids).decode("utf-8", "replace")


class Tokenised(gymnasium.Wrapper[Observed, Any, str, str], RecordConstructorArgs):
    """Observations as a Box of token ids, actions as a whole sequence of tokens or token by token.

    A tokenizer of vocabulary V is given as `encode` and `decode`; without one, tokens are bytes (V = 256). Two ids
    stand behind the tokenizer's own: V ends an action, V + 1 is padding.

    Observation: `{"tokens": (max_observation_tokens,) int64, padded at the end, "length": (1,) int64}`; of a longer
    text the first half and the last half are kept, since results say how they ended in their first line and what
    went wrong in their last ones.

    `action="sequence"` (default): one step is one tool call, as `MultiDiscrete([V + 2] * max_action_tokens)`;
    everything from the first id V or V + 1 on is left out. Steps, budgets and rewards are then those of the wrapped
    env. `action="token"`: one step is one token, as `Discrete(V + 2)`, the smallest space there is for learners that
    take nothing else; the tokens so far stand in the observation under "written" (padded, and empty again after each
    call). The call is made at the id V, or when there is no room left, and only then does the wrapped env step.
    """

    def __init__(
        self,
        env: gymnasium.Env[str, str],
        encode: Encode = encode_bytes,
        decode: Decode = decode_bytes,
        vocab_size: int = BYTES,
        *,
        max_observation_tokens: int = 2048,
        max_action_tokens: int = 512,
        action: Literal["sequence", "token"] = "sequence",
    ) -> None:
        """Raises `ValueError` for sizes below 1 (2 for observations), an unknown kind of action, and bytes with another
        vocabulary than theirs. An id of the tokenizer outside 0..V-1 raises `ValueError` where it comes up."""
        RecordConstructorArgs.__init__(
            self,
            encode=encode,
            decode=decode,
            vocab_size=vocab_size,
            max_observation_tokens=max_observation_tokens,
            max_action_tokens=max_action_tokens,
            action=action,
        )
        gymnasium.Wrapper.__init__(self, env)  # type: ignore[misc]  # of its four type parameters, env has two
        self._text = env
        for name, value, least in (
            ("vocab_size", vocab_size, 1),
            ("max_observation_tokens", max_observation_tokens, 2),
            ("max_action_tokens", max_action_tokens, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
        if action not in ("sequence", "token"):
            raise ValueError(f'action is {action!r}; it must be "sequence" or "token"')
        if vocab_size != BYTES and (encode is encode_bytes or decode is decode_bytes):
            raise ValueError(
                f"vocab_size is {vocab_size}; bytes have {BYTES}: give encode and decode as well"
            )
        self._encode, self._decode = encode, decode
        self.end, self.pad = vocab_size, vocab_size + 1
        self._size = max_action_tokens
        self._by_token = action == "token"
        self._over = True
        self._written: list[int] = []
        self._seen = ""
        self._info: dict[str, Any] = {}
        spaces: dict[str, gymnasium.Space[Any]] = {
            "tokens": Box(0, self.pad, (max_observation_tokens,), np.int64),
            "length": Box(0, max_observation_tokens, (1,), np.int64),
        }
        if self._by_token:
            spaces["written"] = Box(0, self.pad, (max_action_tokens,), np.int64)
        self.observation_space = Dict(spaces)  # type: ignore[assignment]
        self.action_space = (
            Discrete(self.pad + 1)
            if self._by_token
            else MultiDiscrete(np.full(max_action_tokens, self.pad + 1))
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """As the wrapped env's."""
        self._written = []
        self._seen, self._info = self._text.reset(seed=seed, options=options)
        self._over = False
        return self._observed(), copy.deepcopy(self._info)

    def step(self, action: Any) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """A tool call, or one more token of it.

        Raises `InvalidAction` for what the action space does not contain, and `ResetNeeded` before a reset and after
        the end, at the first token.
        """
        if not self.action_space.contains(action):
            raise InvalidAction(f"{str(action)[:80]!r} is not in the action space {self.action_space}"[:300])
        if self._ended():
            raise ResetNeeded("there is no episode here, or it has ended; call reset before the next step")
        if not self._by_token:
            return self._call([int(token) for token in action])
        token = int(action)
        self._written.append(token)
        if token not in (self.end, self.pad) and len(self._written) < self._size:
            return self._observed(), 0.0, False, False, copy.deepcopy(self._info)
        written, self._written = self._written, []
        return self._call(written)

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text that a sequence of ids stands for, up to its end."""
        ends = [index for index, token in enumerate(tokens) if token in (self.end, self.pad)]
        return self._decode(self._known(tokens[: ends[0]] if ends else tokens, "text_of was given"))

    def tokens_of(self, text: str) -> Any:
        """The action (a whole sequence) that stands for a text. Raises `ValueError` when it is too long."""
        ids = self._known(self._encode(text), "encode gave")
        if len(ids) > self._size:
            raise ValueError(f"the text has {len(ids)} tokens, an action at most {self._size}")
        return _padded([*ids, self.end][: self._size], self._size, self.pad)

    def _call(self, tokens: Sequence[int]) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        self._seen, reward, terminated, truncated, self._info = self._text.step(self.text_of(tokens))
        self._over = terminated or truncated
        return self._observed(), float(reward), terminated, truncated, copy.deepcopy(self._info)

    def _ended(self) -> bool:
        """As the env itself says, which may have been restored since; one that says nothing is told by its steps."""
        return bool(getattr(self._text.unwrapped, "over", self._over))

    def _known(self, ids: Sequence[int], who: str) -> list[int]:
        wrong = next((token for token in ids if not 0 <= token < self.end), None)
        if wrong is not None:
            raise ValueError(
                f"{who} the id {wrong}; with vocab_size={self.end}, ids go from 0 to {self.end - 1}"
            )
        return list(ids)

    def _observed(self) -> Observed:
        size = self.observation_space["tokens"].shape[0]  # type: ignore[index]
        ids = self._known(self._encode(self._seen), "encode gave")
        if len(ids) > size:
            ids = ids[: size - size // 2] + ids[len(ids) - size // 2 :]
        observed = {"tokens": _padded(ids, size, self.pad), "length": np.array([len(ids)], np.int64)}
        if self._by_token:
            observed["written"] = _padded(self._written, self._size, self.pad)
        return observed


def _padded(ids: Sequence[int], size: int, pad: int) -> Ids:
    """`ids` as an array of `size`, filled up with `pad`."""
    out = np.full(size, pad, np.int64)
    out[: len(ids)] = ids
    return out
