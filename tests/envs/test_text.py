"""Shortening text: bounded always, the same every time, and honest about what it left out."""

from __future__ import annotations

import re
import time
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import TextLimits, shorten

MARKER = re.compile(
    r"^\[\.\.\. ([\d,]+) bytes, ([\d,]+) line ends left out; sha256:([0-9a-f]{16}) \.\.\.\]$", re.M
)

chunks = st.sampled_from(
    [
        b"x",
        b"\n",
        b"\r\n",
        b"line of words\n",
        b"Error: bad thing\n",
        b"\xff",
        b"\x80" * 7,
        "ä漢🦊".encode(),
        b"y" * 700,
    ]
)
blobs = st.builds(
    lambda parts: b"".join(part * times for part, times in parts),
    st.lists(st.tuples(chunks, st.integers(0, 400)), max_size=12),
)
limits = st.builds(TextLimits, max_bytes=st.integers(200, 9000), max_lines=st.integers(10, 200))


@settings(max_examples=300, deadline=None)
@given(st.one_of(blobs, st.binary(max_size=2000)), limits)
def test_the_result_is_always_within_its_limits_and_names_what_it_was_made_from(
    data: bytes, bound: TextLimits
) -> None:
    result = shorten(data, bound)
    assert len(result.text.encode()) <= bound.max_bytes
    assert result.text.count("\n") + (not result.text.endswith("\n")) <= bound.max_lines
    assert result.full_digest == sha256(data).hexdigest()
    assert result.full_bytes == len(data)
    assert result == shorten(data, bound)
    if not result.shortened:
        assert result.text == data.decode("utf-8", "replace")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["word", "Error: x", "ä漢🦊 " * 40, ""]), max_size=900), limits)
def test_what_is_kept_and_what_the_markers_count_add_up_to_the_whole(
    lines: list[str], bound: TextLimits
) -> None:
    data = "\n".join(lines).encode()
    result = shorten(data, bound)
    missing = sum(int(m[1].replace(",", "")) for m in MARKER.finditer(result.text))
    kept = len(MARKER.sub("", result.text).encode())
    gaps = len(MARKER.findall(result.text))
    assert len(data) <= missing + kept <= len(data) + 2 * gaps  # a marker brings at most two line ends
    assert bool(gaps) == result.shortened


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=300))
def test_any_python_text_can_be_shortened_even_with_lone_surrogates(text: str) -> None:
    shorten(text).text.encode()


def test_error_lines_between_head_and_tail_are_kept_in_order() -> None:
    data = "\n".join(f"line {i}" for i in range(5000))
    data = data.replace("line 2000\n", "ValueError: first\n").replace("line 3000\n", "2 tests failed\n")
    text = shorten(data).text
    assert text.startswith("line 0\n") and text.endswith("line 4999")
    assert text.index("\nValueError: first\n") < text.index("\n2 tests failed\n")
    assert "line 1999" not in text


def test_an_error_inside_one_huge_line_is_shown_with_its_surroundings() -> None:
    text = shorten(b"a" * 5_000_000 + b" KeyError: 'lost' " + b"b" * 5_000_000).text
    assert "a KeyError: 'lost' b" in text


def test_a_line_that_imitates_a_marker_carries_another_digest() -> None:
    fake = "[... 9 bytes, 9 line ends left out; sha256:0123456789abcdef ...]\n"
    result = shorten(fake + "filler line\n" * 5000)
    digests = [m[3] for m in MARKER.finditer(result.text)]
    assert digests == ["0123456789abcdef", result.full_digest[:16]]


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 10_000_000,
        b"\n" * 10_000_000,
        b"\x80" * 10_000_000,
        b"error\n" * 1_700_000,
        b"\nE  " * 2_500_000,
    ],
    ids=["one line", "empty lines", "no UTF-8", "all errors", "nearly errors"],
)
def test_ten_megabytes_take_well_under_a_second(data: bytes) -> None:
    began = time.process_time()
    result = shorten(data)
    assert time.process_time() - began < 1.0
    assert len(result.text.encode()) <= 8000


def test_limits_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        TextLimits(max_bytes=100)
