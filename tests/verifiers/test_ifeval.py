"""IFEval's 25 instruction types: what passes and what does not, by reading the reference's rules and quirks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers.constraints import IFEVAL_TYPES, Artifact, evaluate, read_constraints
from verifiers.constraints.ifeval import tables
from verifiers.constraints.language import language_of
from verifiers.constraints.sentences import sentences

ENGLISH = "the quick brown fox jumps over the lazy dog near the old river bank"
GERMAN = "der schnelle braune fuchs springt über den faulen hund am alten flussufer"

#: type -> (arguments, texts that pass, texts that do not)
CASES: dict[str, list[tuple[dict[str, Any], list[str], list[str]]]] = {
    "keywords:existence": [
        ({"keywords": ["cat", "Dog"]}, ["A CATEGORY of dogs", "cat dog"], ["cat", "dg cat"]),  # inside words
        ({"keywords": ["a.c"]}, ["abc"], ["a-bc"]),  # a pattern, as in the reference
    ],
    "keywords:frequency": [
        ({"keyword": " cat ", "frequency": 2, "relation": "at least"}, ["Cat category"], ["cat"]),
        ({"keyword": "cat", "frequency": 2, "relation": "less than"}, ["cat", "no"], ["catcat"]),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["cat"]}, ["category", "scat"], ["a Cat.", "CAT"]),  # whole words only
    ],
    "keywords:letter_frequency": [
        ({"letter": "A", "let_frequency": 3, "let_relation": "at least"}, ["aAa"], ["aA"]),
        ({"letter": "a", "let_frequency": 2, "let_relation": "less than"}, ["A"], ["Aa"]),
        ({"letter": "#", "let_frequency": 1, "let_relation": "at least"}, ["# one"], ["one"]),
    ],
    "language:response_language": [
        ({"language": "de"}, [GERMAN], [ENGLISH, "123 456"]),
        ({"language": "pa"}, ["ਮੈਂ ਪੰਜਾਬੀ ਵਿੱਚ ਲਿਖ ਰਿਹਾ ਹਾਂ"], [ENGLISH]),
        ({"language": "ru"}, ["это русский текст о собаках и кошках"], [GERMAN]),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 2, "relation": "less than"}, ["Dr. Smith met Mr. Lee."], ["One. Two."]),
        ({"num_sentences": 2, "relation": "at least"}, ["One! Two?"], ["No end mark at all"]),
        (
            {"num_sentences": 2, "relation": "at least"},
            ["It cost 3.5 dollars. Yes."],
            ["It cost 3.5 dollars"],
        ),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, ["a\n***\nb", "***\na *** b\n***"], ["a", "a *** *** b", "a\n\nb"]),
    ],
    "length_constraints:number_words": [
        ({"num_words": 3, "relation": "at least"}, ["don't go", "a-b-c"], ["a_b c"]),  # don, t, go
        ({"num_words": 3, "relation": "less than"}, ["!!!", "a b"], ["a b c"]),
        (
            {"num_words": 4, "relation": "at least"},
            ["हिन्दी में"],
            ["हिन"],
        ),  # vowel signs part words, as in `re`
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Cat"},
            ["One.\n\ncat, yes", "One.\n\n'\"CAT's here"],
            [
                "One.\n\ndog",
                "cat\n\none",
                "One.\n\n\n\ncat",
                "cat",
            ],  # the third: an empty one takes its place
        ),
        ({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "hi"}, ["hi there\n\n", "Hi!"], ["\n\nhi"]),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ["[a] and [b]", "[][]"], ["[a\nb] [c]", "[a"]),
    ],
    "detectable_content:postscript": [
        (
            {"postscript_marker": "P.S."},
            ["Bye.\np. s. late", "x P.S. in the middle"],
            ["PS late", "P.S late"],
        ),
        ({"postscript_marker": "P.P.S"}, ["p.p. s", "P.P.S. more"], ["P.S. one"]),
        ({"postscript_marker": " Later: "}, ["LATER: more"], ["later more"]),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 2}, ["* a\n* b", "- a\n  -b", "*a\n--- "], ["* a", "** a\n** b", "* a\n* b\n- c"]),
    ],
    "detectable_format:constrained_response": [
        ({}, ["Well. My answer is no. Sorry."], ["my answer is no.", "My answer is no"]),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 1}, ["*a*", "**a**"], ["* *", "*a\nb*"]),
        ({"num_highlights": 2}, ["*a* *b*", "**a** and **b**"], ["*a*"]),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "Section", "num_sections": 2},
            ["Section 1 a Section2 b"],
            ["section 1 section 2"],
        ),
    ],
    "detectable_format:json_format": [
        ({}, ['{"a": 1}', "```json\n[1]\n```", "```{}```", "3"], ["{'a': 1}", "a: {}", "[" * 100_000]),
    ],
    "detectable_format:title": [
        ({}, ["<<a day>>\ntext", "x <<<b>>"], ["<<>>", "<< >>", "<a>", "<<a\nb>>"]),
    ],
    "combination:two_responses": [
        ({}, ["a ****** b", "******\na\n******\nb"], ["a", "a ****** a", "a****** ******b", "a***b"]),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": " Write a Poem "}, ["\nwrite a poem\nRoses"], ["Sure: write a poem", "Roses"]),
    ],
    "startend:end_checker": [
        (
            {"end_phrase": " That is all. "},
            ["Hi. THAT IS ALL.", '"Hi. That is all."\n'],
            ["That is all. Bye"],
        ),
    ],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": "at least"}, ["I like NASA", "A-B C"], ["I like Nasa"]),
        ({"capital_frequency": 2, "capital_relation": "less than"}, ["I like it"], ["I AM"]),
    ],
    "change_case:english_capital": [
        ({}, [ENGLISH.upper(), ENGLISH.upper() + " 12!"], [ENGLISH, GERMAN.upper(), "123"]),
    ],
    "change_case:english_lowercase": [
        ({}, [ENGLISH, ENGLISH + " 12!"], [ENGLISH.capitalize(), GERMAN, "123"]),
    ],
    "punctuation:no_comma": [
        ({}, ["no comma; none", "a，b"], ["a, b"])
    ],  # the full-width one is another sign
    "startend:quotation": [({}, ['"all of it"', ' "" '], ['"', 'say "hi"', "“curly”"])],
}
ROWS = [
    (kind, args, text, passes)
    for kind, cases in CASES.items()
    for args, good, bad in cases
    for passes, texts in ((True, good), (False, bad))
    for text in texts
]


def look(kind: str, args: dict[str, Any], text: str):
    return evaluate(read_constraints([{"id": "c", "method": kind, "args": args}]), {None: Artifact.of(text)})


def test_all_25_public_types_are_here_and_each_has_cases():
    assert len(IFEVAL_TYPES) == 25
    assert set(CASES) == set(IFEVAL_TYPES)


@pytest.mark.parametrize(("kind", "args", "text", "passes"), ROWS)
def test_a_type_judges_as_the_reference_does(kind, args, text, passes):
    assert look(kind, args, text).passed is passes


@pytest.mark.parametrize("kind", IFEVAL_TYPES)
@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_empty_output_passes_nothing(kind, text):
    found = look(kind, CASES[kind][0][0], text)
    assert not found.passed
    assert (found.score, found.results[0].outcome) == (0.0, "fail")


@pytest.mark.parametrize(
    ("kind", "args", "text", "said"),
    [
        ("punctuation:no_comma", {}, "one, two, three", [",", ","]),
        ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "a cat, a CAT", ["cat", "CAT"]),
        ("change_case:english_lowercase", {}, "so Big and SO loud", ["B", "SO"]),
        ("detectable_content:number_placeholders", {"num_placeholders": 1}, "to [name]!", ["[name]"]),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 9, "relation": "at least"},
            "Go. We go.",
            None,
        ),
    ],
)
def test_the_evidence_is_the_place_in_the_text(kind, args, text, said):
    spans = look(kind, args, text).results[0].spans
    assert [text[a:b] for a, b in spans] == (said or ["Go.", "We go."])


def test_arguments_that_are_none_are_absent_as_in_ifevals_data():
    args = {"num_words": 2, "relation": "at least", "keywords": None, "language": None}
    assert look("length_constraints:number_words", args, "two words").passed


def test_a_row_of_ifevals_data_becomes_constraints():
    ids = ["punctuation:no_comma", "length_constraints:number_words"]
    kwargs = [{"num_words": None}, {"num_words": 3, "relation": "less than", "language": None}]
    constraints = read_constraints(tables(ids, kwargs))
    assert [c.id for c in constraints.constraints] == [
        "1-punctuation:no_comma",
        "2-length_constraints:number_words",
    ]
    assert evaluate(constraints, {None: Artifact.of("two words")}).passed


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith met Mr. Lee.", 1),
        ("He was born in the U.S. The town is small.", 2),  # a frequent starter ends an abbreviation
        ("Wait... what? No!", 2),
        ("J. S. Bach wrote it.", 1),
        ("We took plan B. The next one failed.", 2),
        ('He said "Go." Then he left.', 2),
        ("1. First\n2. Second", 3),  # Punkt ends a sentence after a list's numbers
        ("I like some, e.g. dogs.", 2),  # and knows no "e.g."
        ("no end", 1),
    ],
)
def test_sentences_are_counted_as_punkt_counts_them(text, count):
    assert len(sentences(text)) == count


def test_the_same_text_always_has_the_same_language():
    short = "no es bon"
    assert len({language_of(short + " " * i) for i in range(30)}) == 1
    language_of.cache_clear()
    assert language_of(short) == language_of(short + " ")


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=200), st.sampled_from(IFEVAL_TYPES))
def test_any_text_gets_a_verdict_and_spans_within_the_text(text, kind):
    (result,) = look(kind, CASES[kind][0][0], text).results
    assert result.outcome in ("pass", "fail")
    assert all(0 <= a <= b <= len(text) for a, b in result.spans)
    if not text.strip():
        assert result.outcome == "fail"
