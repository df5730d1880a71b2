"""The schedules by name."""

from __future__ import annotations

from collections.abc import Callable

from .pairs import Halving, RoundRobin, Schedule, Swiss
from .top_two import TopTwo

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "halving": Halving,
    "round_robin": RoundRobin,
    "swiss": Swiss,
    "top_two": TopTwo,
}
