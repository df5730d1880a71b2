"""Read the reward a test script left behind: `reward.txt` (one number) or `reward.json` (name to number)."""

from __future__ import annotations

import json
import math


class BadReward(ValueError):
    """There is a reward file, and it holds no reward."""


def parse_reward_text(data: bytes) -> float:
    """One number in [0, 1]. Raises `BadReward`; an empty file is no zero."""
    text = data.decode("utf-8", "replace").strip()
    if not text:
        raise BadReward("reward.txt is empty")
    try:
        value = float(text)
    except ValueError:
        raise BadReward(f"reward.txt holds {text[:40]!r}, not a number") from None
    return _checked(value, "reward.txt")


def parse_reward_json(data: bytes) -> tuple[float, dict[str, float]]:
    """(the reward, all named numbers). The reward is the entry "reward", or the only entry."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise BadReward("reward.json is empty or not JSON") from None
    if not isinstance(found, dict) or not found:
        raise BadReward("reward.json is not an object of name to number")
    numbers: dict[str, float] = {}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadReward(f"reward.json: {str(name)[:40]!r} is not a number")
        numbers[str(name)[:200]] = _checked(float(value), "reward.json")
    if "reward" in numbers:
        return numbers["reward"], numbers
    if len(numbers) == 1:
        return next(iter(numbers.values())), numbers
    raise BadReward(f"reward.json has {len(numbers)} entries and none is called reward")


def _checked(value: float, where: str) -> float:
    if not math.isfinite(value) or not 0.0 <= value <= 1.0:
        raise BadReward(f"{where} says {value}, which is not between 0 and 1")
    return value
