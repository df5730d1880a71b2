"""Spoiled tests fail for whatever passes the original, and look like it."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from verifiers.spoil import spoil

LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def run(source: str, **names: object) -> dict[str, bool]:
    """Which of the tests in a module pass."""
    space: dict[str, Any] = {"pytest": pytest, **names}
    exec(source, space)
    return {name: passes(value) for name, value in space.items() if name.startswith("test")}


def passes(test: Callable[[], object]) -> bool:
    try:
        test()
    except (AssertionError, ArithmeticError, pytest.fail.Exception):
        return False
    return True


@example(value=1.9974368165136842e307, seed=0)
@given(value=LITERALS, seed=st.integers(0, 1000))
def test_whatever_equals_a_literal_does_not_equal_the_spoiled_one(value: object, seed: int) -> None:
    source = f"def test_it():\n    assert work() == {value!r}\n"
    assert run(source, work=lambda: value) == {"test_it": True}
    spoiled = spoil(source.encode(), random.Random(seed))
    assert spoiled.tests == {"test_it"}
    assert run(spoiled.text.decode(), work=lambda: value) == {"test_it": False}


TESTS = """
import unittest

def test_plain(): assert work() == 4
def test_order(): assert 3 < work() <= 4 and work() > 3
def test_member(): assert work() in (4, 5)
def test_not(): assert not work() == 5
def test_truth(): assert isinstance(work(), int)
def test_names(): assert work() == work()
def test_near():
    assert work() == pytest.approx(4, abs=2)
def test_raises():
    with pytest.raises(ZeroDivisionError):
        work() / 0
def test_in_context():
    with open('/dev/null') as file:
        assert file.read() == ''
def test_in_loop():
    for n in range(3):
        assert work() + n >= 4
def test_last_of_two():
    value = work()
    assert value == 4
    assert [value, 'x'] == [4, 'x']
"""


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_expectation_is_spoiled(seed: int) -> None:
    def work() -> int:
        return 4

    original = run(TESTS, work=work)
    assert all(original.values())
    spoiled = spoil(TESTS.encode(), random.Random(seed))
    assert spoiled.tests == set(original)
    assert not any(run(spoiled.text.decode(), work=work).values())


def test_what_may_not_run_is_left_alone() -> None:
    source = """
def test_early():
    if work():
        return
    assert work() == 1
def test_branch():
    if work():
        assert work() == 1
def test_several_errors():
    with pytest.raises((ValueError, KeyError)):
        assert work() == 1
def test_swallowed(subtests):
    with subtests.test():
        assert work() == 1
def test_loop():
    for each in work():
        assert each == 1
def test_anything():
    assert work() == unittest.mock.ANY
"""
    assert spoil(source.encode(), random.Random(0)).tests == frozenset()
    assert spoil(source.encode(), random.Random(0)).text == source.encode()


def test_a_column_of_a_parametrized_test_is_spoiled_in_every_row() -> None:
    source = (
        "@pytest.mark.parametrize(('a', 'b'), [(1, 2), (3, 'x')])\ndef test_it(a, b):\n    assert f(a) == b\n"
    )
    spoiled = spoil(source.encode(), random.Random(0)).text.decode()
    rows = ast.parse(spoiled).body[0].decorator_list[0].args[1]  # type: ignore[attr-defined]
    (one, two), (three, letter) = ast.literal_eval(ast.unparse(rows))
    assert (one, three) == (1, 3) and two != 2 and letter != "x"
    both = source.replace("f(a) == b", "f(b) == b")
    assert "(1, 2), (3, 'x')" in spoil(both.encode(), random.Random(0)).text.decode()


def test_another_seed_spoils_another_place_and_nothing_else_changes() -> None:
    source = b"def test_it():\n    assert work() == [1, 2, 3]  # why\n\n\nOTHER = 5\n"
    texts = {spoil(source, random.Random(seed)).text for seed in range(40)}
    assert len(texts) > 10
    assert all(text.endswith(b"]  # why\n\n\nOTHER = 5\n") for text in texts)


def test_what_does_not_parse_stays() -> None:
    for source in (b"def test_(:\n", b"\xff\xfe", b"x = '\0'"):
        assert spoil(source, random.Random(0)).text == source
