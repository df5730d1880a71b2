"""Sentences and word tokens by NLTK, without a model to download.

The reference counts sentences with NLTK's Punkt algorithm (Kiss and Strunk, Computational Linguistics 32 (2006)
485) and its trained English model. The algorithm is the same here; of the model there are the facts that
decide ordinary texts: the abbreviations and the frequent sentence starters it learnt, and which everyday words
are also written small. What it learnt about rarer words is not here, so that these differ: an abbreviation or
an initial before a rare capitalised word ("at 5 p.m. Dogs bark.") is taken for the middle of a sentence.
Like the model, this knows no "e.g." and no "etc.": both end a sentence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .check import Span
from .patterns import PatternTimeout

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer  # type: ignore[import-untyped]

#: Of NLTK's English Punkt model, without its initials of single persons and companies.
_ABBREVIATIONS = (
    "adm col dr gen jr lt maj messrs mr mrs ms prof rep reps sen sr st ph.d m.b.a "
    "bros cie co corp cos inc ltd s.a s.p.a b.v n.v l.p a.g "
    "jan feb aug sep sept oct nov dec tues wed fri a.m p.m a.d "
    "ala ariz calif colo conn fla ga ill kan ky mich minn nev okla ore pa tenn va vt w.va wash wis ct "
    "d.c l.a n.c n.d n.h n.j n.m n.y r.i s.c u.k u.n u.s u.s.a u.s.s.r "
    "ave chg ft mg ok sw vs yr c d e f g h k l m n p r s t v w j.p j.r"
)
_STARTERS = (
    "according although among both but despite even he however i if in indeed instead it many meanwhile "
    "moreover most nevertheless nonetheless nor sales separately similarly since so some the there these they "
    "this though thus under when while yet"
)
_EVERYDAY = (
    "a about after all also an and another any are as at be because before by can could did do does each every "
    "first for from get give go had has have her here his how its just last let like make may more my new next "
    "no not now of on one only or other our out over please she should such take than that their them then "
    "through to too two up use very was we were what where which who why will with would you your"
)
_WRITTEN_BOTH_WAYS = 2 | 4 | 8 | 32 | 64  # Punkt's flags: capitals at all places, small letters inside


def sentences(text: str) -> list[Span]:
    """Where the sentences stand. A text that is not blank has at least one. Raises `PatternTimeout`."""
    try:
        return [(int(start), int(stop)) for start, stop in _punkt().span_tokenize(text)]
    except TimeoutError:  # NLTK's own limit on its patterns
        raise PatternTimeout("the sentences of this text could not be told apart in time") from None


def word_tokens(text: str) -> list[str]:
    """Words and punctuation as NLTK's `word_tokenize` splits them; hyphenated words are one. Raises
    `PatternTimeout`."""
    tokenizer = _treebank()
    try:
        return [str(word) for a, b in sentences(text) for word in tokenizer.tokenize(text[a:b])]
    except TimeoutError:
        raise PatternTimeout("the words of this text could not be told apart in time") from None


@lru_cache(maxsize=1)
def _punkt() -> PunktSentenceTokenizer:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    known = PunktParameters()
    known.abbrev_types.update(_ABBREVIATIONS.split())
    known.sent_starters.update(_STARTERS.split())
    for word in (_STARTERS + " " + _EVERYDAY).split():
        known.ortho_context[word] = _WRITTEN_BOTH_WAYS
    return PunktSentenceTokenizer(known)


@lru_cache(maxsize=1)
def _treebank() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # type: ignore[import-untyped]

    return NLTKWordTokenizer()
