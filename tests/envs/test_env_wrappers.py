"""The env for learners that want numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import Task
from envs.code_task import CodeTaskEnv
from envs.wrappers import Tokenised, decode_bytes, encode_bytes

PWD = '{"tool": "bash", "arguments": {"command": "echo é"}}'


@pytest.fixture(scope="module")
def env(add_task: Task, options: dict[str, str]) -> Iterator[CodeTaskEnv]:
    with CodeTaskEnv(add_task, backend_options=options) as made:
        yield made


@pytest.mark.parametrize("action", ["sequence", "token"])
def test_gymnasiums_checker_has_nothing_to_say(
    env: CodeTaskEnv, action: Literal["sequence", "token"]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*different from the unwrapped version.*")
        check_env(Tokenised(env, action=action), skip_render_check=True)


def test_a_sequence_is_one_call_and_needs_no_tokenizer(env: CodeTaskEnv) -> None:
    tokens = Tokenised(env)
    first, _ = tokens.reset()
    assert "Make `add` add." in tokens.text_of(first["tokens"])
    seen, reward, *_ = tokens.step(tokens.tokens_of(PWD))
    assert tokens.text_of(seen["tokens"]) == "exit code 0\né\n"
    assert (int(seen["length"][0]), reward) == (15, 0.0)


def test_token_by_token_the_call_is_made_at_its_end(env: CodeTaskEnv) -> None:
    tokens = Tokenised(env, action="token")
    tokens.reset()
    for token in encode_bytes(PWD):
        seen, _, _, _, info = tokens.step(token)
        assert info["steps"] == 0
    assert tokens.text_of(seen["written"]) == PWD
    seen, _, _, _, info = tokens.step(tokens.end)
    assert info["steps"] == 1
    assert tokens.text_of(seen["tokens"]) == "exit code 0\né\n"
    assert tokens.text_of(seen["written"]) == ""


def test_a_call_without_an_end_is_made_when_there_is_no_room_left(env: CodeTaskEnv) -> None:
    tokens = Tokenised(env, action="token", max_action_tokens=3)
    tokens.reset()
    assert [tokens.step(65)[4]["steps"] for _ in range(3)] == [0, 0, 1]


def test_of_a_long_observation_both_ends_are_kept(env: CodeTaskEnv) -> None:
    tokens = Tokenised(env, max_observation_tokens=40)
    tokens.reset()
    call = json.dumps({"tool": "bash", "arguments": {"command": "seq 1000"}})
    seen = tokens.step(tokens.tokens_of(call))[0]
    text = tokens.text_of(seen["tokens"])
    assert text.startswith("exit code 0\n1\n")
    assert text.endswith("999\n1000\n")
    assert len(text) == 40


def test_a_tokenizer_of_ones_own_is_used(env: CodeTaskEnv) -> None:
    words = ['{"tool": "bash", ', '"arguments": {"command": "echo é"}}', "exit code 0\né\n"]
    tokens = Tokenised(
        env,
        encode=lambda text: [words.index(text)] if text in words else [],
        decode=lambda ids: "".join(words[i] for i in ids),
        vocab_size=3,
        max_action_tokens=4,
    )
    tokens.reset()
    seen = tokens.step(np.array([0, 1, 3, 4]))[0]
    assert list(seen["tokens"][:2]) == [2, tokens.pad]


@settings(deadline=None)
@given(st.text())
def test_every_text_survives_bytes(text: str) -> None:
    assert decode_bytes(encode_bytes(text)) == text


@pytest.mark.parametrize("action", [np.array([1, 2]), "text", np.full(512, 999)])
def test_an_action_outside_the_space_is_refused(env: CodeTaskEnv, action: Any) -> None:
    tokens = Tokenised(env)
    tokens.reset()
    with pytest.raises(InvalidAction, match="not in the action space"):
        tokens.step(action)


def test_impossible_sizes_are_refused(env: CodeTaskEnv) -> None:
    with pytest.raises(ValueError, match="max_action_tokens is 0"):
        Tokenised(env, max_action_tokens=0)
    with pytest.raises(ValueError, match="at most 512"):
        Tokenised(env).tokens_of("x" * 513)


def test_an_id_outside_the_vocabulary_is_named(env: CodeTaskEnv) -> None:
    tokens = Tokenised(env, encode=lambda text: [min(ord(c), 300) for c in text], decode=str, vocab_size=200)
    with pytest.raises(
        ValueError, match=r"encode gave the id 233; with vocab_size=200, ids go from 0 to 199"
    ):
        tokens.tokens_of("é")
    with pytest.raises(ValueError, match=r"the id -1"):
        tokens.text_of([3, -1])
    call = json.dumps({"tool": "bash", "arguments": {"command": "printf '\\351\\226\\200'"}})
    plain = Tokenised(
        env,
        encode=lambda text: [min(ord(c), 300) for c in text],
        decode=lambda ids: "".join(map(chr, ids)),
        vocab_size=200,
    )
    plain.reset()
    with pytest.raises(ValueError, match=r"encode gave the id 300"):
        plain.step(plain.tokens_of(call))


def test_bytes_have_one_vocabulary(env: CodeTaskEnv) -> None:
    with pytest.raises(ValueError, match="vocab_size is 300; bytes have 256"):
        Tokenised(env, vocab_size=300)


def test_token_by_token_nothing_is_taken_without_an_episode(add_task: Task, options: dict[str, str]) -> None:
    with CodeTaskEnv(add_task, backend_options=options, max_steps=1) as inner:
        tokens = Tokenised(inner, action="token")
        with pytest.raises(ResetNeeded):
            tokens.step(65)
        tokens.reset()
        state = inner.snapshot()
        tokens.step(65)
        assert tokens.step(tokens.end)[3] is True
        with pytest.raises(ResetNeeded):
            tokens.step(65)
        inner.restore(state)
        assert tokens.step(65)[3] is False
