"""What a tool gives back, brought within the limits once, so that model and records see the same text."""

from __future__ import annotations

from kernel_pool.text import Shortened, TextLimits, shorten

from .trajectory import Observation

__all__ = ["Observation", "Shortened", "TextLimits", "observe", "shorten"]


def observe(
    data: bytes | str,
    limits: TextLimits | None = None,
    *,
    exit_code: int | None = None,
    ended: str = "",
    is_error: bool = False,
) -> Observation:
    """An observation of a text, shortened if it must be, with the size and digest of the whole."""
    short = shorten(data, limits)
    return Observation(
        text=short.text,
        is_error=is_error,
        exit_code=exit_code,
        ended=ended,
        full_bytes=short.full_bytes,
        full_digest=short.full_digest,
        shortened=short.shortened,
    )
