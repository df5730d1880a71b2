"""Whatever a policy writes, its trajectory can be stored and read again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from envs.trajectory import MAX_DEPTH, Message, ToolCall, Trajectory

anything = st.text(alphabet=st.characters(exclude_categories=[]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=10,
)


@given(anything, st.dictionaries(anything, json_values, max_size=3))
def test_any_text_and_any_arguments_survive_storing(text: str, arguments: dict[str, Any]) -> None:
    call = ToolCall(id=text, name=text, arguments=arguments, raw=text)
    before = Trajectory(messages=[Message(role="assistant", content=text, tool_calls=(call,))])
    stored = before.model_dump_json()
    assert Trajectory.model_validate_json(stored) == before
    json.loads(stored)


def test_well_formed_text_is_kept_as_it_is() -> None:
    call = ToolCall(id="ä", name="🦊", arguments={"漢": ["\n", {"a": 1.5}]})
    assert (call.id, call.name, call.arguments) == ("ä", "🦊", {"漢": ["\n", {"a": 1.5}]})


def test_arguments_nested_beyond_storing_count_as_malformed() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(depth - 1):
            value = {"a": value}
        return value

    assert ToolCall(id="1", name="x", arguments=nested(MAX_DEPTH)).arguments == nested(MAX_DEPTH)
    deep = ToolCall(id="1", name="x", arguments=nested(900), raw="{...")
    assert deep.arguments is None and deep.raw == "{..."
    assert ToolCall.model_validate_json(deep.model_dump_json()) == deep
