"""The methods by name, imported when they are asked for.

A method of your own: `METHODS.register("mine", "my_package.module:MyCheck")`, a subclass of `Check`.
"""

from __future__ import annotations

from kernel_pool.registry import Registry

from .check import Check

_IFEVAL = {
    "change_case:capital_word_frequency": "cases:CapitalWordFrequency",
    "change_case:english_capital": "cases:EnglishCapital",
    "change_case:english_lowercase": "cases:EnglishLowercase",
    "combination:repeat_prompt": "content:RepeatPrompt",
    "combination:two_responses": "content:TwoResponses",
    "detectable_content:number_placeholders": "content:NumberPlaceholders",
    "detectable_content:postscript": "content:Postscript",
    "detectable_format:constrained_response": "formats:ConstrainedResponse",
    "detectable_format:json_format": "formats:JsonFormat",
    "detectable_format:multiple_sections": "formats:MultipleSections",
    "detectable_format:number_bullet_lists": "formats:NumberBulletLists",
    "detectable_format:number_highlighted_sections": "formats:NumberHighlightedSections",
    "detectable_format:title": "formats:Title",
    "keywords:existence": "keywords:Existence",
    "keywords:forbidden_words": "keywords:ForbiddenWords",
    "keywords:frequency": "keywords:Frequency",
    "keywords:letter_frequency": "keywords:LetterFrequency",
    "language:response_language": "cases:ResponseLanguage",
    "length_constraints:nth_paragraph_first_word": "lengths:NthParagraphFirstWord",
    "length_constraints:number_paragraphs": "lengths:NumberParagraphs",
    "length_constraints:number_sentences": "lengths:NumberSentences",
    "length_constraints:number_words": "lengths:NumberWords",
    "punctuation:no_comma": "content:NoComma",
    "startend:end_checker": "content:EndChecker",
    "startend:quotation": "content:Quotation",
}
_PLAIN = {
    "file_contains": "FileContains",
    "file_exists": "FileExists",
    "file_matches": "FileMatches",
    "file_size_max": "FileSizeMax",
    "file_size_min": "FileSizeMin",
    "headings_count_min": "HeadingsCountMin",
    "word_count_min": "WordCountMin",
}

#: The ids of IFEval's instruction types.
IFEVAL_TYPES = tuple(_IFEVAL)

METHODS: Registry[type[Check]] = Registry(
    "constraint method",
    {
        **{name: f"verifiers.constraints.ifeval.{target}" for name, target in _IFEVAL.items()},
        **{name: f"verifiers.constraints.files:{target}" for name, target in _PLAIN.items()},
    },
)
