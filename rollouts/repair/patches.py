"""String edits that satisfy a check without a model. They please the checker and say nothing better, so that
every text they touched is marked `checker_edit`, left out of training data, and counted apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from verifiers import CheckResult
from verifiers.constraints import Constraint, is_empty

Args = Mapping[str, Any]

_PATCHES: dict[str, Callable[[str, Args], str]] = {
    "punctuation:no_comma": lambda text, _: text.replace(",", ""),
    "change_case:english_lowercase": lambda text, _: text.lower(),
    "change_case:english_capital": lambda text, _: text.upper(),
    "startend:quotation": lambda text, _: '"' + text.strip() + '"',
    "startend:end_checker": lambda text, args: text.rstrip() + "\n" + args["end_phrase"].strip(),
    "combination:repeat_prompt": lambda text, args: args["prompt_to_repeat"].strip() + "\n\n" + text,
    "detectable_format:title": lambda text, _: "<<untitled>>\n" + text,
    "detectable_content:postscript": lambda text, args: (
        text.rstrip() + "\n\n" + args["postscript_marker"].strip() + " -"
    ),
    "detectable_content:number_placeholders": lambda text, args: (
        text.rstrip() + "\n" + " ".join(["[placeholder]"] * args["num_placeholders"])
    ),
    "keywords:existence": lambda text, args: text.rstrip() + "\nKeywords: " + " ".join(args["keywords"]),
    "file_contains": lambda text, args: text.rstrip() + "\n" + args["text"],
}

#: Methods whose evidence is the violation itself, so that one passage can be rewritten.
_PLACED = frozenset(
    {
        "punctuation:no_comma",
        "keywords:forbidden_words",
        "change_case:english_lowercase",
        "change_case:english_capital",
        "startend:end_checker",
        "length_constraints:nth_paragraph_first_word",
    }
)
_RELATIONS = ("relation", "let_relation", "capital_relation")
_LARGEST_PASSAGE = 0.7  # of the text; beyond that the whole is written anew


def patched(text: str, constraint: Constraint) -> str | None:
    """The text after the edit for a constraint; None when there is none, or nothing to edit."""
    patch = _PATCHES.get(constraint.method)
    if patch is None or is_empty(text):
        return None
    edited = patch(text, constraint.args)
    return None if edited == text else edited


def passage_of(text: str, constraint: Constraint, result: CheckResult) -> tuple[int, int] | None:
    """[start, end) of whole lines that hold every place of a violation; None when its evidence does not show
    where it is, or it is all over the text."""
    placed = constraint.method in _PLACED or "less than" in [constraint.args.get(r) for r in _RELATIONS]
    if not placed or not result.spans:
        return None
    start = text.rfind("\n", 0, min(a for a, _ in result.spans)) + 1
    end = text.find("\n", max(b for _, b in result.spans))
    end = len(text) if end < 0 else end
    return (start, end) if end - start <= _LARGEST_PASSAGE * len(text) else None
