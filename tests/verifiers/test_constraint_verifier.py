"""The constraint verifier on real snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from verifiers import Submission, verifier
from verifiers.constraints import patterns
from verifiers.constraints.verifier import ConstraintVerifier
from verifiers.errors import ConstraintError
from verifiers.selfcheck import check_verifier

SHORT = {
    "id": "short",
    "method": "length_constraints:number_words",
    "args": {"num_words": 4, "relation": "less than"},
}
NO_COMMA = {"id": "no-comma", "method": "punctuation:no_comma"}


@pytest.fixture
def answer(base):
    def make(text: str, *constraints: Any, snapshot=None) -> Submission:
        return Submission(
            "be short", snapshot or base, answer=text, extras={"constraints": list(constraints)}
        )

    return make


async def test_it_keeps_the_contract_of_verifiers(pool, answer):
    good, bad = answer("two words", SHORT), answer("many more words than that", SHORT)
    assert await check_verifier(verifier("constraints"), pool, good=good, bad=bad) == []


async def test_it_keeps_the_contract_on_files(pool, work):
    file = {**SHORT, "path": "notes.md"}
    good, bad = await work("echo two words > notes.md"), await work("echo a b c d e > notes.md")
    made = ConstraintVerifier([file])
    assert await check_verifier(made, pool, good=good, bad=bad) == []


async def test_the_answer_is_checked_and_each_constraint_is_a_check_with_its_places(pool, answer):
    verdict = await ConstraintVerifier().verify(answer("one, two, three, four", SHORT, NO_COMMA), pool)
    assert (verdict.outcome, verdict.score) == ("fail", 0.0)
    assert [check.id for check in verdict.checks] == ["short", "no-comma"]
    assert verdict.checks[1].spans == ((3, 4), (8, 9), (15, 16))
    assert "short (hard): has 4 words, less than 4 asked for" in verdict.reason


async def test_soft_constraints_lower_the_score_and_never_the_outcome(pool, answer):
    soft = {**NO_COMMA, "level": "soft"}
    verdict = await ConstraintVerifier().verify(answer("one, two", SHORT, soft), pool)
    assert verdict.outcome == "pass"
    assert verdict.score == pytest.approx(1 / 1.5)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("true", "absent"),
        ("mkdir notes.md", "not a file"),
        ("printf '\\377\\376' > notes.md", "no UTF-8 text"),
        ("head -c 2000000 /dev/zero > notes.md", "too large"),
        (": > notes.md", "is empty"),
    ],
)
async def test_a_file_that_cannot_be_read_as_text_fails(pool, work, command, message):
    done = await work(command)
    verdict = await ConstraintVerifier([{**SHORT, "path": "notes.md"}]).verify(done, pool)
    assert verdict.outcome == "fail"
    assert message in verdict.checks[0].message


async def test_a_link_out_of_the_work_shows_nothing_of_the_host(pool, work, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host words")
    done = await work(f"ln -s {secret} notes.md")
    reads = {"id": "reads", "method": "file_contains", "args": {"text": "host words"}, "path": "notes.md"}
    verdict = await ConstraintVerifier([reads]).verify(done, pool)
    assert verdict.outcome == "fail"


async def test_a_file_needs_no_text_to_exist_or_to_have_a_size(pool, work):
    done = await work("printf '\\377\\376' > data.bin")
    constraints = [
        {"id": "there", "method": "file_exists", "path": "data.bin"},
        {"id": "size", "method": "file_size_max", "args": {"bytes": 2}, "path": "data.bin"},
    ]
    assert (await ConstraintVerifier(constraints).verify(done, pool)).passed


async def test_broken_constraints_of_a_task_are_unknown_with_a_cause_and_nobodys_pass(pool, answer):
    verdict = await ConstraintVerifier().verify(answer("x", {"id": "a", "method": "no_commas"}), pool)
    assert (verdict.outcome, verdict.score, verdict.infra) == ("unknown", None, False)
    assert verdict.cause == "bad_constraint"
    assert "no constraint method named 'no_commas'" in verdict.reason


async def test_a_task_without_constraints_is_unknown(pool, base):
    verdict = await ConstraintVerifier().verify(Submission("do it", base, answer="x"), pool)
    assert (verdict.outcome, verdict.cause) == ("unknown", "no_constraints")


async def test_a_pattern_without_end_is_unknown_with_a_cause(pool, answer, monkeypatch):
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.05)
    runaway = {"id": "m", "method": "file_matches", "args": {"pattern": "(?:a|a)+[b-z]"}}
    verdict = await ConstraintVerifier().verify(answer("a" * 5000 + "!", runaway), pool)
    assert (verdict.outcome, verdict.cause) == ("unknown", "timeout")


def test_options_of_its_own_are_read_when_it_is_made():
    with pytest.raises(ConstraintError, match="Field required"):
        verifier("constraints", constraints=[{"id": "w", "method": "word_count_min"}])


async def test_constraints_of_its_own_are_asked_beside_those_of_the_task(pool, answer):
    made = ConstraintVerifier([SHORT])
    both = await made.verify(answer("one, two", NO_COMMA), pool)
    assert [(check.id, check.outcome) for check in both.checks] == [("no-comma", "fail"), ("short", "pass")]
    alone = await made.verify(
        Submission("do it", answer("").snapshot, answer="many more words than that"), pool
    )
    assert (alone.outcome, [check.id for check in alone.checks]) == ("fail", ["short"])


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (SHORT, "constraint 2 (short): the id is taken by constraint 1"),
        (
            {**SHORT, "id": "long", "args": {"num_words": 9, "relation": "at least"}},
            "constraint 2 (short): contradicts long",
        ),
    ],
)
async def test_what_cannot_be_asked_together_with_the_task_is_told_and_nobodys_pass(
    pool, answer, theirs, words
):
    verdict = await ConstraintVerifier([SHORT]).verify(answer("two words", theirs), pool)
    assert (verdict.outcome, verdict.cause) == ("unknown", "bad_constraint")
    assert words in verdict.reason
    assert "(1 to 1 are the task's, the others the verifier's own)" in verdict.reason


@pytest.mark.parametrize("text", ["", "\u200b\u200b", "\x00 \x07"], ids=ascii)
async def test_empty_work_fails_where_all_constraints_are_soft(pool, answer, text):
    soft = {**NO_COMMA, "level": "soft"}
    verdict = await ConstraintVerifier().verify(answer(text, soft), pool)
    assert (verdict.outcome, verdict.score) == ("fail", 0.0)
    assert "is empty" in verdict.reason
