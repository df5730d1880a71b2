"""Constraint records: what can be read, what contradicts, and how a set is judged."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.constraints import Artifact, ConstraintError, evaluate, is_empty, patterns, read_constraints


def table(method: str, name: str = "", /, **args: Any) -> dict[str, Any]:
    return {"id": name or method.replace("_", "-"), "method": method, "args": args}


def words(n: int, relation: str, name: str = "", **more: Any) -> dict[str, Any]:
    return {**table("length_constraints:number_words", name, num_words=n, relation=relation), **more}


def problems(*tables: Any) -> list[str]:
    with pytest.raises(ConstraintError) as caught:
        read_constraints(list(tables))
    return [str(problem) for problem in caught.value.problems]


def judged(text: str, *tables: dict[str, Any]):
    return evaluate(read_constraints(tables), {None: Artifact.of(text)})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit of patterns, shorter."""
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.05)


def test_an_unknown_method_is_told_with_the_nearest_one():
    (told,) = problems(table("keywords:existance", "k", keywords=["a"]))
    assert told == (
        "constraint 1 (k): no constraint method named 'keywords:existance'; did you mean keywords:existence?"
    )


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ({"num_words": 5}, "args.relation: Field required"),
        ({"num_words": "5", "relation": "at least"}, "args.num_words: Input should be a valid integer"),
        ({"num_words": True, "relation": "at least"}, "args.num_words"),
        (
            {"num_words": -1, "relation": "at least"},
            "args.num_words: Input should be greater than or equal to 0",
        ),
        ({"num_words": 5, "relation": "at most"}, "args.relation"),
        ({"num_words": 5, "relation": "at least", "colour": "red"}, "args.colour: Extra inputs"),
    ],
)
def test_missing_and_ill_typed_arguments_are_told_by_name(args, part):
    (told,) = problems({"id": "w", "method": "length_constraints:number_words", "args": args})
    assert part in told


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        ({"method": "file_exists"}, "id: Field required"),
        ({"id": "a b", "method": "file_exists"}, "id: String should match"),
        ({"id": "a", "method": "punctuation:no_comma", "level": "harsh"}, "level"),
        ({"id": "a", "method": "punctuation:no_comma", "wieght": 3}, "wieght: Extra inputs"),
        ({"id": "a", "method": "file_exists"}, "needs a `path`"),
        ({"id": "a", "method": "file_exists", "path": "../x"}, "without `..`"),
        ("no table", "valid dictionary"),
        (table("keywords:existence", "a", keywords=["a(b"]), "is no regular expression"),
        (table("keywords:existence", "a", keywords=[]), "at least 1 item"),
        (table("file_matches", "a", pattern="(" * 2000), "2000 characters"),
        (table("language:response_language", "a", language="xx"), "'xx' is no language"),
        (
            table(
                "length_constraints:nth_paragraph_first_word",
                "a",
                num_paragraphs=1,
                nth_paragraph=2,
                first_word="x",
            ),
            "there is no paragraph 2 of 1",
        ),
    ],
)
def test_a_broken_constraint_is_told_with_its_place(broken, part):
    told = problems(words(5, "at least", "fine"), broken)
    assert any(part in each and each.startswith("constraint 2") for each in told), told


def test_every_problem_of_a_list_is_told_at_once():
    told = problems(table("nothing", "a"), words(5, "at least", "b"), words(1, "at least", "b"))
    assert [each.partition(":")[0] for each in told] == ["constraint 1 (a)", "constraint 3 (b)"]
    assert "the id is taken by constraint 2" in told[1]


def test_no_constraints_are_an_error_and_no_pass():
    assert problems() == ["constraint 1: there are 0 constraints; 1 to 64 can be checked"]
    with pytest.raises(ConstraintError, match="must be a list of tables"):
        read_constraints({"id": "a"})  # type: ignore[arg-type]


PROMPT = {"prompt_to_repeat": "Write, please"}
CONTRADICTIONS = [
    (words(100, "at least", "a"), words(50, "less than", "b")),
    (table("change_case:english_lowercase"), table("change_case:english_capital")),
    (
        table("keywords:existence", keywords=["cat"]),
        table("keywords:forbidden_words", forbidden_words=["Cat"]),
    ),
    (
        table("keywords:existence", keywords=["cat"]),
        table("keywords:frequency", keyword="cat", frequency=1, relation="less than"),
    ),
    (
        table("language:response_language", "a", language="de"),
        table("language:response_language", "b", language="fr"),
    ),
    (table("language:response_language", language="de"), table("change_case:english_lowercase")),
    (table("detectable_format:json_format"), table("combination:repeat_prompt", **PROMPT)),
    (table("startend:quotation"), table("combination:repeat_prompt", **PROMPT)),
    (table("punctuation:no_comma"), table("combination:repeat_prompt", **PROMPT)),
    (table("punctuation:no_comma"), table("startend:end_checker", end_phrase="Bye, all")),
    (
        table("startend:end_checker", "a", end_phrase="Bye"),
        table("startend:end_checker", "b", end_phrase="Amen"),
    ),
    (table("detectable_format:constrained_response"), table("change_case:english_capital")),
    (
        table("detectable_format:multiple_sections", section_spliter="Section", num_sections=2),
        table("change_case:english_lowercase"),
    ),
    (
        table("change_case:english_lowercase"),
        table("change_case:capital_word_frequency", capital_frequency=1, capital_relation="at least"),
    ),
    (
        table("change_case:english_capital"),
        table("change_case:capital_word_frequency", capital_frequency=1, capital_relation="less than"),
    ),
    (
        table("detectable_format:number_bullet_lists", "a", num_bullets=2),
        table("detectable_format:number_bullet_lists", "b", num_bullets=3),
    ),
]


@pytest.mark.parametrize(("one", "other"), CONTRADICTIONS)
def test_demands_that_nothing_can_meet_together_are_an_error_in_any_order(one, other):
    assert "contradicts" in problems(one, other)[0]
    assert "contradicts" in problems(other, one)[0]


def test_the_same_demands_on_two_files_are_no_contradiction():
    one, other = words(100, "at least", "a"), words(50, "less than", "b")
    assert len(read_constraints([{**one, "path": "long.md"}, {**other, "path": "short.md"}])) == 2


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ('"<<a title>>"', ["detectable_format:json_format", "detectable_format:title", "startend:quotation"]),
        ('"a ****** b"', ["detectable_format:json_format", "combination:two_responses"]),
    ],
)
def test_what_can_be_met_together_is_no_contradiction(text, tables):
    assert judged(text, *map(table, tables)).passed


def test_a_pattern_that_runs_away_proves_no_contradiction(impatient):
    phrase = "a" * 5000 + "!"
    tables = [
        table("startend:end_checker", end_phrase=phrase),
        table("keywords:forbidden_words", forbidden_words=["(?:a|a)+[b-z]"]),
    ]
    assert len(read_constraints(tables)) == 2


def test_a_demand_that_nothing_meets_is_an_error_by_itself():
    assert problems(words(0, "less than", "w")) == ["constraint 1 (w): no text has 0 to -1 words"]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80))
def test_two_word_counts_contradict_only_when_no_count_meets_both(low, high, count):
    tables = [words(low, "at least", "a"), words(high, "less than", "b")]
    try:
        constraints = read_constraints(tables)
    except ConstraintError:
        assert low > high - 1
    else:
        met = evaluate(constraints, {None: Artifact.of("w " * count)}).passed
        assert met is (low <= count < high)


def test_a_hard_violation_fails_and_a_soft_one_only_lowers_the_score():
    soft = {**table("punctuation:no_comma", "soft"), "level": "soft"}
    found = judged("one, two", soft, words(2, "at least", "hard"))
    assert (found.passed, round(found.score, 3)) == (True, round(1 / 1.5, 3))
    found = judged("one", soft, words(2, "at least", "hard"))
    assert (found.passed, round(found.score, 3)) == (False, round(0.5 / 1.5, 3))


def test_violations_come_hard_first_and_then_by_priority():
    tables = [
        {**table("detectable_format:title", "soft-urgent"), "level": "soft", "priority": 900},
        words(50, "at least", "hard-later", priority=1),
        {**table("startend:quotation", "hard-first"), "priority": 500},
        table("detectable_content:number_placeholders", "hard-default", num_placeholders=1),
    ]
    found = judged("a text", *tables)
    assert [c.id for c, _ in found.violations] == ["hard-first", "hard-default", "hard-later", "soft-urgent"]


def test_the_digest_of_a_set_does_not_depend_on_the_order_of_keys_or_constraints():
    one, other = words(5, "at least", "a"), table("punctuation:no_comma", "b")
    turned = dict(reversed([(k, dict(reversed(v.items())) if k == "args" else v) for k, v in one.items()]))
    assert read_constraints([one, other]).digest == read_constraints([other, turned]).digest
    assert read_constraints([one]).digest != read_constraints([words(6, "at least", "a")]).digest


def test_a_pattern_that_runs_away_is_ended_and_is_no_verdict(impatient):
    found = judged("a" * 5000 + "!", table("file_matches", "m", pattern="(?:a|a)+[b-z]"))
    assert (found.results[0].outcome, found.passed, found.undecided) == ("error", False, True)
    assert found.results[0].message == "the pattern '(?:a|a)+[b-z]' was not done after 0.05 s"


def test_a_violated_hard_constraint_decides_even_where_another_could_not_be_told(impatient):
    runaway = table("file_matches", "m", pattern="(?:a|a)+[b-z]")
    found = judged("a" * 5000 + "!", runaway, words(9, "at least", "w"))
    assert (found.passed, found.undecided) == (False, False)


def test_a_text_made_to_keep_our_own_patterns_busy_fails(impatient):
    found = judged("[" * 99_000, table("detectable_content:number_placeholders", "p", num_placeholders=0))
    assert found.results[0].outcome == "fail"
    assert "was not done after" in found.results[0].message


@pytest.mark.parametrize("method", ["detectable_format:number_bullet_lists", "punctuation:no_comma"])
def test_a_huge_text_is_not_looked_at_and_has_not_passed(method):
    args = {"num_bullets": 0} if "bullet" in method else {}
    found = judged("\n" * 250_000 + "x", table(method, "m", **args))
    assert found.results[0].outcome == "fail"
    assert "more than the 100000 checked" in found.results[0].message


@pytest.mark.parametrize(
    ("method", "args", "good", "bad"),
    [
        ("file_contains", {"text": "a.b"}, "xa.bx", "aXb"),
        ("file_matches", {"pattern": r"^v\d+$"}, "x\nv12\ny", "av12"),
        ("headings_count_min", {"count": 2}, "# a\ntext\n###### b", "# a\n####### b\n#c"),
        ("word_count_min", {"count": 4}, "漢字 two ok", "漢字 two"),
        ("file_size_min", {"bytes": 3}, "é.", "é"),
        ("file_size_max", {"bytes": 2}, "é", "éé"),
    ],
)
def test_plain_methods_look_at_text_and_bytes(method, args, good, bad):
    assert judged(good, table(method, "m", **args)).passed
    assert not judged(bad, table(method, "m", **args)).passed
    assert not judged("", table(method, "m", **args)).passed


def test_errors_and_sets_travel_between_processes():
    constraints = read_constraints([words(5, "at least")])
    assert pickle.loads(pickle.dumps(constraints)).digest == constraints.digest
    with pytest.raises(ConstraintError) as caught:
        read_constraints([])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


INVISIBLE = (
    "",
    " \n\t",
    "\u200b\u200b",
    "\x00 \x07",
    "\ufeff",
    "\u00ad\u2060",
    "\u3164",
    "\u2800",
    "\ufe0f\u0301",
)


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
@pytest.mark.parametrize(
    "asked",
    [
        table("punctuation:no_comma"),
        table("file_size_max", bytes=99),
        {**table("file_exists"), "path": "a.txt"},
    ],
    ids=lambda asked: asked["method"],
)
def test_text_without_a_visible_character_is_empty_and_fails_hard_and_soft_constraints(text, asked):
    for level in ("hard", "soft"):
        constraints = read_constraints([{**asked, "level": level}])
        found = evaluate(constraints, {asked.get("path"): Artifact.of(text)})
        assert (found.empty, found.passed, found.score, found.undecided) == (True, False, 0.0, False)


@given(st.text(st.characters(categories=["Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me"])), st.text(), st.text())
def test_one_visible_character_is_enough_for_a_text_and_nothing_less_is(nothing, before, after):
    assert is_empty(nothing)
    assert not is_empty(before + "x" + after)


@pytest.mark.parametrize("text", ["-", "あ", "กั", "हि", "😀", "1", "\u200b.\u200b"])
def test_letters_of_any_script_signs_and_pictures_are_no_empty_text(text):
    assert judged(text, table("punctuation:no_comma")).passed


def test_soft_constraints_on_one_empty_text_beside_another_only_lower_the_score():
    notes = {**table("punctuation:no_comma", "notes"), "path": "notes.md", "level": "soft"}
    both = read_constraints([notes, {**table("punctuation:no_comma", "said"), "level": "soft"}])
    found = evaluate(both, {None: Artifact.of("Done"), "notes.md": Artifact(problem="absent")})
    assert (found.passed, found.score) == (True, 0.5)
