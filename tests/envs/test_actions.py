"""Actions: one tool call in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import ToolCall, ToolError
from envs.actions import FORM, read_action

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=3))
def test_every_way_of_writing_a_call_reads_the_same(name: str, arguments: dict[str, Any]) -> None:
    calls = [
        {"tool": name, "arguments": arguments},
        {"name": name, "arguments": arguments},
        {"name": name, "arguments": json.dumps(arguments)},
        {"id": "x", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}},
    ]
    read = [read_action(json.dumps(call), "c", 10**6) for call in calls]
    assert {(call.name, json.dumps(call.arguments)) for call in read} == {
        (read[0].name, json.dumps(read[0].arguments))
    }
    assert read[0].name == name[:200]
    assert read[0].arguments == arguments


@settings(deadline=None)
@given(st.text() | JSON.map(json.dumps) | st.dictionaries(st.just("tool"), JSON).map(json.dumps))
def test_anything_else_is_told_and_nothing_else_is_raised(action: str) -> None:
    try:
        assert isinstance(read_action(action, "c", 1000), ToolCall)
    except ToolError as error:
        assert FORM in str(error)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("ls", "no JSON"),
        ("[]", "a list"),
        ('{"arguments": {}}', "names no tool"),
        ('{"tool": "bash", "command": "ls"}', "'command' is no part"),
        ("[" * 100_000, "nested too deeply"),
        ('{"tool": "bash", "arguments": {"timeout_s": NaN}}', "NaN is no JSON"),
        ("x" * 200_001, "200001 characters"),
    ],
)
def test_what_is_wrong_is_said_without_repeating_the_action(action: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason) as caught:
        read_action(action, "c", 200_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("arguments", ['"[1]"', '"{"', "[1]", "3"])
def test_arguments_that_are_no_object_are_kept_as_they_were_written(arguments: str) -> None:
    call = read_action(f'{{"tool": "bash", "arguments": {arguments}}}', "c", 1000)
    assert call.arguments is None
    assert call.raw
