"""The space of texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gymnasium.spaces import Tuple
from gymnasium.vector.utils import batch_differing_spaces, batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.spaces import Unicode


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_every_text_up_to_the_length_is_in_it(text: str) -> None:
    assert Unicode(40).contains(text)
    assert (text in Unicode(20)) == (len(text) <= 20)


@pytest.mark.parametrize("other", [b"bytes", 1, None, ["a"]])
def test_what_is_no_text_is_not_in_it(other: Any) -> None:
    assert other not in Unicode(40)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 200))
def test_samples_are_in_it_and_equal_seeds_draw_the_same(seed: int, length: int) -> None:
    one, other = Unicode(length, seed=seed), Unicode(length, seed=seed)
    samples = [one.sample() for _ in range(5)]
    assert samples == [other.sample() for _ in range(5)]
    for text in samples:
        assert text in one
        assert text.encode().decode() == text


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=()))))
def test_texts_survive_json(texts: list[str]) -> None:
    space = Unicode(1000)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(texts)))) == texts


def test_equal_lengths_are_equal_spaces() -> None:
    assert Unicode(5) == Unicode(5, seed=1)
    assert Unicode(5) != Unicode(6)
    assert repr(Unicode(5)) == "Unicode(5)"


def test_batches_are_tuples_of_texts() -> None:
    batch = batch_space(Unicode(9), 3)
    assert isinstance(batch, Tuple)
    assert batch.sample() in batch
    assert ("a", "", "é\n") in batch
    assert ("a" * 6, "b") in batch_differing_spaces([Unicode(9), Unicode(1)])


@pytest.mark.parametrize("length", [0, -1, 2.5, True])
def test_an_impossible_length_is_refused(length: Any) -> None:
    with pytest.raises(ValueError, match="max_length"):
        Unicode(length)
