"""The learnable part: a linear softmax over named features.

A candidate edit i with features f_i (a vector) gets the logit z_i = w . f_i / T, and is drawn with
probability p_i = exp(z_i) / sum_j exp(z_j). The score function of the drawn edit a is

    d log p_a / d w = (f_a - sum_j p_j f_j) / T

(Williams 1992, REINFORCE, for a softmax-linear policy: Sutton & Barto, Reinforcement Learning, 2nd ed.,
section 13.3). Both vectors and T are written into every reply's event, so that the gradient can be computed
from the records alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError

Floats = NDArray[np.float64]

#: Weights of the features that every candidate has.
GENERAL: dict[str, float] = {
    "prior": 1.59,  #: what the operator itself thinks of this variant (log scale)
    "ochiai": 3.23,  #: suspicion of the line, 0..1
    "only_failing": 0.42,  #: no passing test runs the line
    "in_trace": 0.1,  #: the line is in a traceback
    "top_frame": 0.28,  #: the line raised
    "near_trace": 0.0,  #: closeness to the raising line, exp(-distance / 3)
    "module_level": -0.53,  #: the line runs at import
    "log_line": -0.19,  #: log of how many candidates the line has
    "log_group": -0.37,  #: log of how many its family has on that line
    "hint": 1.44,  #: how much the failures speak for the family
    "exact": 2.0,  #: it replaces a name that a message points at
    "unused": 1.04,  #: it brings in a local name that nothing reads so far
    "size": 0.0,  #: log of one plus the characters it changes
    "tried_line": -0.25,  #: log of one plus the tries on that line
    "tried_group": -0.5,  #: log of one plus the tries of that family on that line
    "from_origin": 0.0,  #: it starts from the first state although a better one was found
}

#: Weights of the operator families (one-hot features `op:<family>`). All defaults were set by hand and then
#: moved a little towards the repairs of 59 small programs (maximum likelihood with a strong pull back).
FAMILIES: dict[str, float] = {
    "strict": 1.6, "flip": 0.8, "compare": 0.0, "shift": 0.1, "arith": 0.8, "operands": 0.2,
    "operand_drop": -0.1, "group": 0.6, "augmented": 0.9, "augment": 0.1, "negate": 0.4, "const": 1.1,
    "bool": 0.8, "string": 0.0, "none": -0.3, "and_or": 1.5, "condition_drop": 0.2, "condition_add": -0.2, "slice": 0.6, "index": 1.1,
    "get": -1.0, "unwrap": 0.0, "method": 0.6, "attribute": 0.1, "function": 1.0, "name": 0.8, "self": 0.0,
    "arguments": 0.8, "argument_add": 0.5, "argument_drop": 0.0, "copy": -0.4, "reverse": -0.5, "range": 1.3,
    "return_value": -0.4, "collection": -0.1, "wrap": -0.6, "method_add": -0.9, "rows": 1.0, "jump": 0.3,
    "elif": 0.2, "delete": -0.3, "swap": 0.1, "indent": 0.1, "dedent": 0.9, "return": -0.4, "rebind": 0.0,
    "step": -0.5, "guard": -0.4, "declare": -0.3, "mutable_default": 1.0, "text": 0.0, "offset": -0.5,
    "loop_test": 0.7, "clamp": -0.1, "flush": 0.5, "update": -0.4,
}  # fmt: skip

NAMES: tuple[str, ...] = (*GENERAL, *(f"op:{family}" for family in FAMILIES))
COLUMN: dict[str, int] = {name: column for column, name in enumerate(NAMES)}
DEFAULTS: dict[str, float] = {**GENERAL, **{f"op:{family}": w for family, w in FAMILIES.items()}}


def vector(weights: Mapping[str, float] | str | Path | None) -> Floats:
    """Weights as a vector over `NAMES`. A mapping or a JSON file overrides the defaults it names.

    Raises `ConfigError` for an unreadable file, an unknown feature or a weight that is no finite number.
    """
    given: Any = weights or {}
    place = "weights"
    if isinstance(weights, str | Path):
        place = str(weights)
        try:
            given = json.loads(Path(weights).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{place}: cannot be read as JSON ({error})") from None
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place}: must be an object of feature name to number")
    unknown = sorted(set(map(str, given)) - set(NAMES))
    if unknown:
        raise ConfigError(f"{place}: unknown feature {unknown[0]!r}; known are {', '.join(NAMES)}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{place}: weight of {name!r} is {value!r}, must be a finite number")
    merged = {**DEFAULTS, **given}
    return np.array([float(merged[name]) for name in NAMES])


def probabilities(features: Floats, weights: Floats, temperature: float) -> tuple[Floats, Floats]:
    """(log p, p) of each candidate; `features` is (candidates, features). Temperature 0: the best one."""
    scores = features @ weights
    if temperature <= 0:
        log_p = np.full(len(scores), -np.inf)
        log_p[int(np.argmax(scores))] = 0.0
    else:
        z = (scores - scores.max()) / temperature
        log_p = z - np.log(np.exp(z).sum())
    return log_p, np.exp(log_p)


def draw(p: Floats, rng: Random) -> int:
    """An index drawn from the distribution."""
    index = int(np.searchsorted(np.cumsum(p), rng.random() * float(p.sum()), side="right"))
    return min(index, int(np.flatnonzero(p)[-1]))


def named(values: Floats) -> dict[str, float]:
    """The non-zero entries of a feature vector by name, to nine significant digits."""
    return {NAMES[i]: float(f"{values[i]:.9g}") for i in np.flatnonzero(values)}


def gradient(event: Mapping[str, Any]) -> Floats:
    """d log p / d weights of a recorded choice (an event of kind "choice"), over `NAMES`.

    At temperature 0 the choice is deterministic and the gradient is zero.
    """
    out = np.zeros(len(NAMES))
    temperature = float(event["temperature"])
    if temperature <= 0:
        return out
    for name, value in event["features"].items():
        out[COLUMN[name]] += value / temperature
    for name, value in event["mean_features"].items():
        out[COLUMN[name]] -= value / temperature
    return out
