"""Words of a text, and how relevant one text is to another."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

#: Scripts written without spaces, and Hangul, whose endings would hide the stem: cut into character pairs.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"([{_UNSPACED}]+)|([^\W_{_UNSPACED}]+)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_STOP_WORDS = (
    "a an and are as at be been but by can do does for from get had has have he her his how i if in into is it "
    "its just may more must no not of on one or our out should so some such than that the their them then there "
    "these they this to up use used using was we were what when where which who will with would you your"
)
_STOP = frozenset(_STOP_WORDS.split())

#: Only so much of a text is looked at; an instruction is far shorter.
MAX_TEXT = 20_000

#: BM25's usual constants (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework").
K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    """Index terms: folded, identifiers split, English endings cut, character pairs where words have no spaces."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", text[:MAX_TEXT]))
    out: list[str] = []
    for unspaced, word in _WORD.findall(text.casefold()):
        if unspaced:
            out.extend(unspaced[i : i + 2] for i in range(max(1, len(unspaced) - 1)))
        elif word not in _STOP:
            out.append(_stem(word[:64]))
    return out


def relevance(
    query: Counter[str], document: Counter[str], idf: Mapping[str, float], mean_length: float
) -> float:
    """How much of what the query is about the document speaks of, in [0, 1].

    BM25 of the document, divided by the BM25 that the query's own text would get as a document, so that a
    floor makes sense in a store of two entries as in one of a million:

        score(d) = sum over distinct terms t of the query: idf(t) * tf * (K1 + 1) / (tf + K1 * (1 - B + B * |d| / mean))
        relevance = min(1, score(document) / score(query))

    with idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5)), positive for every term. A document with the words of the
    query has 1; one that shares only words which most entries have is near 0; no shared word is exactly 0.
    """
    whole = _score(query, query, idf, mean_length)
    return min(1.0, _score(query, document, idf, mean_length) / whole) if whole else 0.0


def _score(
    query: Counter[str], document: Counter[str], idf: Mapping[str, float], mean_length: float
) -> float:
    norm = K1 * (1 - B + B * document.total() / max(mean_length, 1.0))
    return sum(
        idf[term] * tf * (K1 + 1) / (tf + norm)
        for term in query
        if (tf := document.get(term, 0)) and term in idf
    )


def _stem(word: str) -> str:
    """A light stemmer (in the spirit of Harman 1991): plurals, -ing and -ed of words long enough to bear it."""
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
