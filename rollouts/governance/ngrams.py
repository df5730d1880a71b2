"""Runs of n words or n characters of many texts at once, each as one 64-bit number; numpy from end to end.

A run's number is a polynomial of its units modulo 2^64 in an odd base, taken from running sums: the cost of a run
does not depend on its length (Karp and Rabin 1987). Equal runs have equal numbers; that different runs have different
numbers is only very likely, so whoever finds equal numbers compares the units themselves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

#: What a character is: no part of a word, part of one, or a word by itself. UNSEEN: not looked at yet.
_BETWEEN, _PART, _ALONE, _UNSEEN = range(4)
_KINDS = np.full(0x110000, _UNSEEN, dtype=np.uint8)
#: Scripts written without spaces between words: every character of theirs is a unit.
_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3040, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)


@dataclass(frozen=True)
class Units:
    """The units of several texts, text by text."""

    values: Hashes  #: equal for equal units
    starts: Ints  #: of each unit, in the texts joined by one newline
    ends: Ints
    owners: Ints  #: which text, 0-based


@dataclass(frozen=True)
class Grams:
    """The runs of n units that lie within one text."""

    hashes: Hashes
    first: Ints  #: index of the first unit
    owners: Ints


def word_units(texts: Sequence[str]) -> Units:
    """The words of folded texts: letters and digits in a row, or one character where words have no spaces."""
    codes, kinds, owners = _characters(texts)
    part, alone = kinds == _PART, kinds == _ALONE
    before, after = np.roll(part, 1), np.roll(part, -1)
    before[:1], after[-1:] = False, False
    starts = np.flatnonzero(alone | (part & ~before))
    ends = np.flatnonzero(alone | (part & ~after)) + 1
    return Units(_windows(_mixed(codes), starts, ends), starts, ends, owners[starts])


def character_units(texts: Sequence[str]) -> Units:
    """The letters and digits of folded texts, whatever stands between them."""
    codes, kinds, owners = _characters(texts)
    starts = np.flatnonzero(kinds != _BETWEEN)
    return Units(_mixed(codes[starts]), starts, starts + 1, owners[starts])


def grams(units: Units, n: int) -> Grams:
    """All runs of n units, in order. A text with fewer has none."""
    first = np.arange(max(0, len(units.values) - n + 1))
    first = first[units.owners[first] == units.owners[first + n - 1]]
    return Grams(_windows(units.values, first, first + n), first, units.owners[first])


def _characters(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint8], Ints]:
    """The code points of the texts joined by newlines, what each is, and whose."""
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _KINDS[codes]
    if (unseen := codes[kinds == _UNSEEN]).size:
        for code in np.unique(unseen).tolist():
            _KINDS[code] = _kind(chr(code))
        kinds = _KINDS[codes]
    # Folding left no other newline.
    return codes, kinds, np.cumsum(codes == ord("\n"), dtype=np.int64)


def _kind(char: str) -> int:
    if not (char.isalnum() or unicodedata.category(char).startswith("M")):
        return _BETWEEN
    return _ALONE if any(low <= ord(char) <= high for low, high in _UNSPACED) else _PART


def _windows(values: Hashes, starts: Ints, ends: Ints) -> Hashes:
    """sum over k of values[start + k] * BASE^k, for each window, mixed."""
    size = len(values)
    power, inverse = _powers(_BASE, size), _powers(_INVERSE, size)
    sums = np.zeros(size + 1, dtype=np.uint64)
    np.cumsum(values * power, out=sums[1:])
    return _mixed((sums[ends] - sums[starts]) * inverse[starts])


_CACHE: dict[int, Hashes] = {}


def _powers(base: int, count: int) -> Hashes:
    """base^0 ... base^(count - 1), at least one; kept for the next batch."""
    known = _CACHE.get(base)
    if known is None or len(known) < count:
        room = 1 << max(16, count - 1).bit_length() if count < 1 << 23 else count
        factors = np.full(max(1, room), base, dtype=np.uint64)
        factors[0] = 1
        known = np.cumprod(factors)
        if count < 1 << 23:
            _CACHE[base] = known
    return known[: max(1, count)]


def _mixed(values: NDArray[np.uint32] | Hashes) -> Hashes:
    """Spread over all 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014)."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
