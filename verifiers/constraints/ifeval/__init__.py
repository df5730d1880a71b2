"""The 25 instruction types of IFEval (Zhou et al., arXiv 2311.07911), under their public ids.

They agree with the reference (`instruction_following_eval/instructions.py` of google-research, and its copy in
lm-evaluation-harness), quirks included: keywords are patterns found anywhere in a word, letters are counted in
small letters, a repeated prompt is compared without its case. Differences, all deliberate:

- empty output passes nothing;
- a text whose language cannot be told passes no check of language or case (the reference passes it);
- a missing, negative or impossible argument is an error (the reference draws one at random);
- a letter may be any one character (the reference replaces "#" by a random letter);
- words are runs of `\\w` as `re` reads it, also with NLTK 3.10 and later, whose other engine counts lone accents;
- sentences: see `sentences.py`; languages: langdetect with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def tables(instruction_ids: Sequence[str], kwargs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row of IFEval's data (`instruction_id_list` and `kwargs`) as constraints to read; all hard.

    Raises `ValueError` when the two lists differ in length.
    """
    return [
        {"id": f"{number}-{name}", "method": name, "args": dict(args)}
        for number, (name, args) in enumerate(zip(instruction_ids, kwargs, strict=True), 1)
    ]
