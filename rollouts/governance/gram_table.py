"""Which evaluation texts hold which runs: an inverted index over sorted 64-bit numbers.

Only the evaluation side is held: about 35 bytes a run, the filter that spares most searches included. Training text
passes by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ngrams import Grams, Hashes, Ints

#: Of the character runs of a text with more than this many, those are indexed whose number ends in three zero bits
#: (Manber 1994): the share of them that is found estimates the share of all.
SAMPLED_FROM = 160
_SAMPLE = np.uint64(7)


class GramTable:
    """hash of a run -> the texts that hold it. Filled by `add`, closed by `finish`, then asked."""

    def __init__(self, *, sampled: bool) -> None:
        self._sampled = sampled
        self._parts: list[tuple[Hashes, NDArray[np.int32]]] = []

    def add(self, grams: Grams, first: int) -> None:
        """The runs of texts `first`, `first + 1`, ... A text must come whole, and texts in order."""
        kept = np.ones(len(grams.hashes), dtype=bool)
        if self._sampled and len(kept):
            long = np.bincount(grams.owners)[grams.owners] > SAMPLED_FROM
            kept = ~long | (grams.hashes & _SAMPLE == 0) | _least_of_each(grams)
        self._parts.append((grams.hashes[kept], (grams.owners[kept] + first).astype(np.int32)))

    def finish(self, items: Ints, limit: int) -> None:
        """`items[i]` is the item of text i. Runs in more than `limit` items are common: they are left out."""
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *(part[0] for part in self._parts)])
        owners = np.concatenate([np.zeros(0, dtype=np.int32), *(part[1] for part in self._parts)])
        self._parts.clear()
        order = np.argsort(hashes, kind="stable")  # stable: the texts of a run stay in order
        hashes, owners = hashes[order], owners[order]
        new = np.ones(len(hashes), dtype=bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
        hashes, owners = hashes[new], owners[new]
        common = _in_more_items_than(limit, hashes, items[owners])
        self.common: Hashes = np.unique(hashes[common])  #: sorted
        self.has_runs = np.bincount(owners, minlength=len(items)) > 0  #: per text: it has runs, common or not
        hashes, self._owners = hashes[~common], owners[~common]
        self._hashes, starts = np.unique(hashes, return_index=True)
        self._starts = np.append(starts, len(hashes)).astype(np.int64)
        self.totals = np.bincount(self._owners, minlength=len(items))  #: per text: its own runs
        self._seen = np.zeros(len(self._hashes), dtype=bool)
        bits = int(np.clip(np.ceil(np.log2(8 * len(self._hashes) + 1)), 10, 28))
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << bits, dtype=bool)
        self._filter[self._hashes >> self._shift] = True

    def shares(self, grams: Grams) -> tuple[Ints, Ints, NDArray[np.float64]]:
        """(asking text, evaluation text, share of the latter's own runs that the former holds), shares over 0."""
        where, which = self._lookup(grams.hashes)
        self._seen[which] = True
        runs, texts = len(self._hashes) or 1, len(self.totals)
        pairs = np.unique(grams.owners[where] * runs + which)  # a run counts once, however often it is there
        asking, which = pairs // runs, pairs % runs
        sizes = self._starts[which + 1] - self._starts[which]
        before = np.cumsum(sizes) - sizes
        at = np.repeat(self._starts[which] - before, sizes) + np.arange(int(sizes.sum()))
        keys, counts = np.unique(np.repeat(asking, sizes) * texts + self._owners[at], return_counts=True)
        if not len(keys):
            return keys, keys, np.zeros(0)
        return keys // texts, keys % texts, counts / self.totals[keys % texts]

    def own(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of one evaluation text's runs, in order, are not common.

        Where runs were sampled, what lies between two common runs of the sample is common with them.
        """
        common = _in_sorted(hashes, self.common)
        at = np.flatnonzero(hashes & _SAMPLE == 0)
        if self._sampled and len(at):
            every = np.arange(len(hashes))
            before = at[np.maximum(np.searchsorted(at, every, side="right") - 1, 0)]
            after = at[np.minimum(np.searchsorted(at, every), len(at) - 1)]
            between = common[before] & common[after]
            common = between if len(hashes) > SAMPLED_FROM else common | between
        return ~common

    def coverage(self) -> NDArray[np.float64]:
        """Per evaluation text: the share of its own runs that any of the asking texts held; 0 without own runs."""
        sizes = np.diff(self._starts)
        seen = np.bincount(self._owners, weights=np.repeat(self._seen, sizes), minlength=len(self.totals))
        return np.asarray(seen / np.maximum(self.totals, 1))

    def _lookup(self, hashes: Hashes) -> tuple[Ints, Ints]:
        """Where in `hashes` a known run is, and which."""
        where = np.flatnonzero(self._filter[hashes >> self._shift])
        if not len(where) or not len(self._hashes):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        which = np.searchsorted(self._hashes, hashes[where])
        known = self._hashes[np.minimum(which, len(self._hashes) - 1)] == hashes[where]
        return where[known], which[known]


def _least_of_each(grams: Grams) -> NDArray[np.bool_]:
    """The smallest run of every text, so that one which repeats itself throughout has a run in the sample, too."""
    begins = np.flatnonzero(np.append(True, grams.owners[1:] != grams.owners[:-1]))
    least = np.minimum.reduceat(grams.hashes, begins)
    return np.asarray(grams.hashes == np.repeat(least, np.diff(np.append(begins, len(grams.owners)))))


def _in_more_items_than(limit: int, hashes: Hashes, items: Ints) -> NDArray[np.bool_]:
    """Per (run, text), sorted by run and then text: whether the run is in more than `limit` items."""
    if not len(hashes):
        return np.zeros(0, dtype=bool)
    run = np.cumsum(np.append(0, hashes[1:] != hashes[:-1]))
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (run[1:] != run[:-1]) | (items[1:] != items[:-1])
    return np.asarray(np.bincount(run[new])[run] > limit)


def _in_sorted(hashes: Hashes, table: Hashes) -> NDArray[np.bool_]:
    if not len(table):
        return np.zeros(len(hashes), dtype=bool)
    return np.asarray(table[np.minimum(np.searchsorted(table, hashes), len(table) - 1)] == hashes)
