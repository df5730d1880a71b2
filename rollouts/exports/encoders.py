"""Text as a vector of fixed length, for learners that take no text. Lexical, not semantic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

#: Takes a text, gives a vector; of one length and the same for the same text, always.
Encoder = Callable[[str], Sequence[float] | NDArray[np.float32]]

GRAMS = (3, 4, 5)  #: bytes of UTF-8

_PRIME = np.uint64(0x100000001B3)  # FNV's
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's


def hashed_ngrams(text: str, dim: int = 256) -> NDArray[np.float32]:
    """The byte n-grams of a text (n of `GRAMS`), counted in `dim` buckets by hash, each with a sign by hash,
    scaled to length 1 (an empty text: all zero). Shape (dim,), entries in [-1, 1], the same on every machine.

    Feature hashing: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009).
    """
    data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.uint64)
    counts = np.zeros(dim)
    for n in GRAMS:
        if len(data) < n:
            break
        hashes = np.full(len(data) - n + 1, n, dtype=np.uint64)
        for k in range(n):
            hashes = (hashes * _PRIME) ^ data[k : k + len(hashes)]
        hashes = _mixed(hashes)
        signs = 1.0 - 2.0 * (hashes >> np.uint64(63)).astype(np.float64)
        counts += np.bincount((hashes % np.uint64(dim)).astype(np.int64), weights=signs, minlength=dim)
    length = float(np.linalg.norm(counts))
    return (counts / length if length else counts).astype(np.float32)


def encoder(given: str | Encoder | None, dim: int) -> Encoder:
    """The encoder of a name "module:function", a callable as it is, or by default `hashed_ngrams` of `dim`.

    Raises `ConfigError`.
    """
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise ConfigError(f"dim is {dim!r}, must be a number of features, 1 or more")
    if given is None:
        return partial(hashed_ngrams, dim=dim)
    if not isinstance(given, str):
        return given
    module, _, name = given.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"encoder {given!r}: {error}; it is written module:function") from None
    if not callable(found):
        raise ConfigError(f"encoder {given!r}: is no function")
    return found  # type: ignore[no-any-return]


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the input spread over every bit of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))
