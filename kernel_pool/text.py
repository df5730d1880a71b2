"""Shortening text once, the same way every time: head, tail, and the error lines between.

Whatever goes in, what comes out is bounded in bytes and lines. Time is linear in the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

MIN_BYTES, MIN_LINES = 200, 10

#: What makes a line worth keeping. Plain substrings: searching them is many times faster than a pattern.
_ERROR_WORDS = tuple(
    word.encode()
    for word in (
        "rror",  # Error, error
        "ERROR",
        "xception",  # Exception, exception
        "Traceback",
        "ailed",  # Failed, failed
        "FAIL",
        "ailure",
        "assert",
        "Assert",
        "panic",
        "atal",  # fatal, Fatal
        "FATAL",
        "undefined reference",
        "\nE   ",  # pytest's explanation of an assertion
    )
)

_MARKER_BYTES = 100  # the longest marker with its line ends
_ERROR_LINE_BYTES = 240
_MAX_ERROR_LINES = 8


@dataclass(frozen=True)
class TextLimits:
    """Bounds of a shortened text; both always hold."""

    max_bytes: int = 8000  #: UTF-8 bytes, markers included; at least 200
    max_lines: int = 160  #: lines, markers included; at least 10

    def __post_init__(self) -> None:
        if self.max_bytes < MIN_BYTES or self.max_lines < MIN_LINES:
            raise ValueError(
                f"text limits below {MIN_BYTES} bytes or {MIN_LINES} lines leave no room: {self}"
            )


@dataclass(frozen=True)
class Shortened:
    """A text within its limits, and what it was made from."""

    text: str
    full_bytes: int  #: size of the input
    full_digest: str  #: sha256 of the input, hex
    shortened: bool  #: whether anything was left out


def shorten(data: bytes | str, limits: TextLimits | None = None) -> Shortened:
    """Bring a text within its limits.

    Bytes that are no UTF-8 become U+FFFD. Each gap is told on a line of its own, with the number of lines
    and bytes left out and the beginning of the digest of the whole input, which the input cannot contain:
    a line that merely looks like a marker carries another digest than `full_digest`.
    """
    limits = limits or TextLimits()
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    digest = sha256(raw).hexdigest()
    growth = 1
    if len(raw) <= limits.max_bytes and _line_count(raw) <= limits.max_lines:
        text = raw.decode("utf-8", "replace")
        if _size(text) <= limits.max_bytes:
            return Shortened(text, len(raw), digest, False)
        growth = 3
    text = _render(raw, _spans(raw, limits, growth), digest)
    if _size(text) > limits.max_bytes:
        text = _render(raw, _spans(raw, limits, 3), digest)
    return Shortened(text, len(raw), digest, True)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _line_count(data: bytes) -> int:
    return data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))


def _spans(data: bytes, limits: TextLimits, growth: int) -> list[tuple[int, int]]:
    """The parts to keep, as (start, end) in order, never overlapping. The first is the head, the last the tail.

    `growth` is 3 when bytes that are no UTF-8 may each become three, else 1.
    """
    error_bytes = growth * _ERROR_LINE_BYTES + _MARKER_BYTES
    most = min(_MAX_ERROR_LINES, limits.max_bytes * 3 // 10 // error_bytes, limits.max_lines * 3 // 10 // 2)
    start, end = _ends(data, limits, growth, most)
    errors = _error_lines(data, start, end, most)
    if len(errors) < most:  # what error lines do not need goes to both ends
        start, end = _ends(data, limits, growth, len(errors))
        errors = [span for span in errors if start <= span[0] and span[1] <= end]
    return [(0, start), *errors, (end, len(data))]


def _ends(data: bytes, limits: TextLimits, growth: int, errors: int) -> tuple[int, int]:
    """Where the head ends and the tail begins when so many error lines stand between them."""
    room = limits.max_bytes - _MARKER_BYTES * (errors + 1) - growth * _ERROR_LINE_BYTES * errors
    lines = limits.max_lines - 1 - 2 * errors
    size = room // growth // 2
    return _head(data, size, lines // 2), _tail(data, size, lines // 2)


def _head(data: bytes, size: int, lines: int) -> int:
    """Where a head of at most `size` bytes and `lines` lines ends: at a line's end if one is near."""
    position = 0
    for _ in range(lines):
        after = data.find(b"\n", position, size) + 1
        if not after:
            break
        position = after
    else:
        return position
    return position if position > size // 2 else _boundary(data, size, -1)


def _tail(data: bytes, size: int, lines: int) -> int:
    """Where a tail of at most `size` bytes and `lines` lines begins."""
    floor = max(0, len(data) - size)
    position = len(data)
    for _ in range(lines):
        before = data.rfind(b"\n", max(0, floor - 1), position - 1)
        if before < 0:
            break
        position = before + 1
    else:
        return position
    return position if len(data) - position > size // 2 else _boundary(data, floor, 1)


def _boundary(data: bytes, position: int, direction: int) -> int:
    """The nearest character boundary at or beyond `position`, three bytes away at most."""
    for _ in range(3):
        if not 0 < position < len(data) or data[position] & 0xC0 != 0x80:
            break
        position += direction
    return position


def _error_lines(data: bytes, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """The first lines in data[start:end] that look like errors, long ones cut to the part around the word."""
    found: set[tuple[int, int]] = set()
    for word in _ERROR_WORDS if most else ():
        position, hits = start, 0
        while hits < most and (hit := data.find(word, position, end)) >= 0:
            hit += word.startswith(b"\n")
            line_start = data.rfind(b"\n", start, hit) + 1 or start
            line_end = data.find(b"\n", hit, end) + 1 or end
            found.add(_window(data, line_start, line_end, hit))
            position, hits = line_end - (line_end < end), hits + 1
    kept: list[tuple[int, int]] = []
    for span in sorted(found):
        if len(kept) < most and (not kept or span[0] >= kept[-1][1]):
            kept.append(span)
    return kept


def _window(data: bytes, start: int, end: int, hit: int) -> tuple[int, int]:
    if end - start <= _ERROR_LINE_BYTES:
        return start, end
    left = max(start, min(hit - _ERROR_LINE_BYTES // 3, end - _ERROR_LINE_BYTES))
    return _boundary(data, left, 1), _boundary(data, left + _ERROR_LINE_BYTES, -1)


def _render(data: bytes, spans: list[tuple[int, int]], digest: str) -> str:
    parts: list[str] = []
    reached = 0
    for start, end in spans:
        if start > reached:
            if parts and not parts[-1].endswith("\n"):
                parts.append("\n")
            lines = data.count(b"\n", reached, start)
            parts.append(
                f"[... {start - reached:,} bytes, {lines:,} line ends left out; sha256:{digest[:16]} ...]\n"
            )
        if end > start:
            parts.append(data[start:end].decode("utf-8", "replace"))
        reached = end
    return "".join(parts)
