"""Contamination: what is found, what is not, and where it says it is."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rollouts.errors import ConfigError
from rollouts.governance.contamination import EvaluationIndex, Hit, Item, Passage, Settings, printable
from rollouts.governance.normal_text import fold

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
OTHERS = (
    "Weng earns 12 dollars an hour for babysitting. Yesterday she did just 50 minutes of it; what did she earn?",
    "A robe takes two bolts of blue fibre and half that much white fibre, so how many bolts does one robe take?",
    "James decides to run three sprints three times a week, sixty metres each; how far does he run in a week?",
)
FILLER = [f"filler{number}" for number in range(200)]
LOOKALIKES = str.maketrans("aceopxyABEHKMOPCTXi", "асеорхуАВЕНКМОРСТХі")


def item(text: str, name: str = "item", field: str = "text") -> Item:
    return Item(name, f"{name}.jsonl:1", (Passage(field, text),))


def hits(test: list[str] | str, *train: str, how: Settings | None = None) -> list[Hit]:
    """The hits of evaluation texts in training texts, each an item of its own."""
    given_texts = [test] if isinstance(test, str) else test
    index = EvaluationIndex([item(text, f"test{i}") for i, text in enumerate(given_texts)], how)
    return [hit for _, hit in index.find([item(text, f"train{i}") for i, text in enumerate(train)])]


def only(found: list[Hit]) -> Hit:
    assert len(found) == 1
    return found[0]


def test_an_item_inside_a_longer_answer_is_found_whole() -> None:
    found = only(hits([QUESTION, *OTHERS], " ".join([*FILLER, QUESTION, *FILLER])))
    assert (found.test_id, found.kind, found.containment, found.standing) == (
        "test0",
        "words",
        1.0,
        "contaminated",
    )


@pytest.mark.parametrize(
    "disguised",
    [
        pytest.param(QUESTION.upper(), id="capitals"),
        pytest.param(QUESTION.translate(LOOKALIKES), id="Cyrillic look-alikes"),
        pytest.param("\u200b".join(QUESTION), id="zero-width characters inside words"),
        pytest.param(" ".join(QUESTION), id="letters apart"),
        pytest.param(QUESTION.replace(" ", ""), id="no spaces"),
        pytest.param(".".join(QUESTION), id="dots between letters"),
        pytest.param(QUESTION.replace(" ", "\n\t"), id="other white space"),
        pytest.param("".join(c + "\u0301" for c in QUESTION), id="accents"),
        pytest.param(" ".join(reversed(QUESTION.split(". "))), id="sentences in another order"),
    ],
)
def test_a_disguised_item_is_found(disguised: str) -> None:
    found = only(hits([QUESTION, *OTHERS], "Here is one. " + disguised))
    assert found.test_id == "test0"
    assert found.standing == "contaminated"


def test_a_chinese_item_is_found_by_its_characters() -> None:
    text = "小明有五个苹果，他给了小红两个，又从商店买了三个，请问他现在一共有多少个苹果？"
    assert only(hits(text, f"题目：{text}答案是六个")).containment == 1.0


def test_code_is_found_under_another_indentation() -> None:
    code = "def total(cart):\n    result = 0\n    for item in cart.items:\n        result += item.price * item.count\n    return result\n"
    again = code.replace("    ", "\t").replace("+=", " += ")
    assert only(hits(code, f"class Shop:\n{again}")).containment == 1.0


def test_spans_are_places_in_the_texts_as_they_were_given() -> None:
    start, end = "Look: ", " (that was it)"
    disguised = "\u200b".join(QUESTION.translate(LOOKALIKES))
    found = only(hits(QUESTION, start + disguised + end))
    span = found.spans[0]
    assert QUESTION[slice(*span.test)] == QUESTION.rstrip("?")
    assert (start + disguised + end)[slice(*span.train)] == disguised.rstrip("?\u200b")


def test_a_hit_names_both_items_both_fields_and_the_passage() -> None:
    index = EvaluationIndex(
        [Item("q1", "test.jsonl:4", (Passage("question", QUESTION), Passage("answer", "72")))]
    )
    messages = (Passage("message 1", "ok"), Passage("tool result 2", f"cat notes.txt\n{QUESTION}"))
    [(number, found)] = index.find([Item("run/b1", "branches.jsonl:9", messages)])
    assert number == 0
    assert (found.test_id, found.test_at, found.test_field) == ("q1", "test.jsonl:4", "question")
    assert (found.train_id, found.train_at, found.train_field) == (
        "run/b1",
        "branches.jsonl:9",
        "tool result 2",
    )
    assert found.excerpt == QUESTION.rstrip("?")
    assert found.as_dict()["spans"] == [
        {"test": [0, len(QUESTION) - 1], "train_field": "tool result 2", "train": [14, 13 + len(QUESTION)]}
    ]


def test_an_item_spread_over_the_messages_of_one_training_item_is_found() -> None:
    half = QUESTION.index("How")
    index = EvaluationIndex([item(QUESTION)])
    parts = (Passage("message 1", QUESTION[:half]), Passage("message 2", QUESTION[half:]))
    [(_, found)] = index.find([Item("chat", "", parts)])
    assert found.standing == "contaminated"
    assert set(found.train_fields) == {"message 1", "message 2"}


def test_a_part_below_the_threshold_is_told_as_partial() -> None:
    found = only(hits(QUESTION, " ".join(FILLER) + QUESTION[: len(QUESTION) // 2 - 20]))
    assert found.standing == "partial"
    assert 0.2 <= found.containment < 0.5


def test_pieces_over_many_training_items_are_told_as_scattered() -> None:
    long = " ".join(OTHERS) + " " + QUESTION
    words = long.split()
    pieces = [" ".join([*FILLER[:9], *words[at : at + 16], *FILLER[9:18]]) for at in range(0, len(words), 9)]
    index = EvaluationIndex([item(long)])
    assert all(hit.standing == "partial" for _, hit in index.find(map(item, pieces)))
    assert index.scattered()[0][0] == 0


def test_a_short_item_is_named_and_compared_whole() -> None:
    index = EvaluationIndex([item("2+2=?"), item(QUESTION)])
    assert index.too_short == [0]
    found = [hit for _, hit in index.find([item("So: 2+2=?", "inside"), item("２ + 2 =\u200b ?", "same")])]
    assert [(hit.train_id, hit.kind) for hit in found] == [("same", "equal")]


def test_signs_tell_short_items_apart() -> None:
    assert hits("a == b", "a != b") == []
    assert only(hits("a == b", "a==b")).kind == "equal"


def test_a_short_answer_or_a_note_beside_a_short_question_is_no_hit() -> None:
    short = Item(
        "s", "", (Passage("question", "2+2=?"), Passage("answer", "4"), Passage("source", "elementary"))
    )
    index = EvaluationIndex([short])
    assert list(index.find([item("4"), item("elementary")])) == []
    assert len(list(index.find([item("2+2=?")]))) == 1


def test_of_a_text_of_few_words_all_must_be_there() -> None:
    text = "Implement the function fibonacci"
    assert hits(text, "Implement the function fibonorial for me") == []
    assert only(hits(text, "Please implement the function Fibonacci now")).containment == 1.0


def test_half_a_short_sentence_that_many_share_is_no_contamination() -> None:
    found = hits(
        "Return true if the object is a coroutine function.", "Return true if the object is a code object."
    )
    assert all(hit.standing == "partial" for hit in found)


def test_an_instruction_that_all_items_share_neither_counts_nor_hides() -> None:
    rng = random.Random(1)
    instruction = (
        "Solve the problem step by step and put your final answer between two dollar signs at the very end. "
    )
    texts = [instruction + " ".join(rng.choices(FILLER, k=30)) for _ in range(60)]
    found = hits(
        texts, instruction + "What is the capital of France?", "See: " + texts[7][len(instruction) :]
    )
    assert [(hit.test_id, hit.train_id, hit.standing) for hit in found] == [
        ("test7", "train1", "contaminated")
    ]


def test_an_item_of_nothing_but_shared_text_is_compared_whole() -> None:
    shared = "Name one prime number between ten and twenty"
    longer = [f"{shared} that is {word} today" for word in ("red", "blue", "green", "black")]
    index = EvaluationIndex([item(text, f"t{number}") for number, text in enumerate([shared, *longer])])
    assert index.only_common == [0]
    found = [hit for _, hit in index.find([item(shared + " now", "more"), item(shared, "same")])]
    assert [(hit.test_id, hit.train_id, hit.kind) for hit in found] == [("t0", "same", "equal")]


def repeated(question: str, number: int, field: str = "question", note: str = "completion") -> list[Item]:
    return [
        Item(f"{question[:9]}-{run}", "t", (Passage(field, question), Passage(note, f"run {run}")))
        for run in range(number)
    ]


def long_question(seed: int) -> str:
    return " ".join(random.Random(seed).choices(FILLER, k=25))


@pytest.mark.parametrize("completion", ["run {}", " ".join(["{}", *FILLER[:20]])])
@pytest.mark.parametrize("questions", [1, 4])
def test_a_question_that_stands_again_for_every_epoch_is_found(questions: int, completion: str) -> None:
    asked = [long_question(seed) for seed in range(questions)]
    items = [
        Item(f"{i}-{run}", "t", (Passage("question", text), Passage("completion", completion.format(run))))
        for i, text in enumerate(asked)
        for run in range(16)
    ]
    index = EvaluationIndex(items)
    found = {of for of, hit in index.find([item(text.upper(), "leak") for text in asked])}
    assert len(found) == 16 * questions
    assert not index.not_compared


@pytest.mark.parametrize("epochs", [1, 8])
@pytest.mark.parametrize("field", ["instruction", "system"])
def test_an_instruction_in_a_field_of_its_own_is_boilerplate_even_with_epochs(
    field: str, epochs: int
) -> None:
    frame = "Solve the problem step by step and put your final answer between two dollar signs at the end."
    items = [
        Item(
            f"{i}-{run}",
            "t",
            (Passage(field, frame), Passage("question", long_question(i)), Passage("n", f"{run}")),
        )
        for i in range(20)
        for run in range(epochs)
    ]
    index = EvaluationIndex(items)
    found = {of for of, hit in index.find([item(frame, "frame"), item(long_question(3), "leak")])}
    assert len(found) == epochs


def test_an_item_known_only_by_a_short_note_was_not_compared() -> None:
    index = EvaluationIndex(repeated(long_question(1), 40, field="stem", note="remark"))
    assert len(index.not_compared) == 40


def test_equal_evaluation_items_are_held_once() -> None:
    index = EvaluationIndex([item(QUESTION, "a"), item(QUESTION, "b"), item(OTHERS[0], "c")])
    assert [found.id for found in index.items] == ["a", "c"]
    assert [found.id for found in index.copies[0]] == ["b"]


def test_a_paraphrase_is_not_found() -> None:
    assert (
        hits(
            QUESTION, "In April 48 friends bought clips from Natalia; May brought half that. What is the sum?"
        )
        == []
    )


@pytest.mark.parametrize("unit", ["a", "0123456789", "ab ", "echo echo "])
def test_a_text_that_repeats_itself_is_found(unit: str) -> None:
    index = EvaluationIndex([item(unit * 500), item(QUESTION)])
    assert index.too_short == []
    assert [hit.containment for _, hit in index.find([item("x" + unit * 600)])] == [1.0]


def test_no_evaluation_item_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no evaluation items"):
        EvaluationIndex([])


@pytest.mark.parametrize(
    "wrong", [{"words": 1}, {"threshold": 0.1}, {"threshold": float("nan")}, {"partial": 0.0}, {"common": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_an_excerpt_cannot_write_on_the_terminal() -> None:
    assert printable("a\x1b[31mb\r\nc\u202ed") == "a [31mb c d"
    assert len(printable("x" * 10_000)) < 200


# Properties

WORDS = st.lists(st.sampled_from([f"w{n}x" for n in range(500)]), min_size=12, max_size=60, unique=True)
OTHER_WORDS = st.lists(st.sampled_from([f"q{n}z" for n in range(500)]), max_size=60)


@given(WORDS, OTHER_WORDS, OTHER_WORDS)
def test_an_item_is_found_wherever_it_stands(words: list[str], before: list[str], after: list[str]) -> None:
    text = " ".join(words)
    found = only(hits(text, " ".join([*before, text, *after])))
    assert found.containment == 1.0


@given(st.text(min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_a_text_in_any_script_is_found_under_any_disguise(text: str, rng: random.Random) -> None:
    assume(fold(text).strip())
    assume(fold(text.upper()) == fold(text))  # a few letters look like two, one for each case
    disguised = "".join(
        (char.upper() if rng.random() < 0.5 else char) + rng.choice(["", "\u200b", "\u2060", "\ufe0f"])
        for char in text.translate(LOOKALIKES)
    )
    assume(fold(disguised) == fold(text))
    assert only(hits(text, disguised)).containment == 1.0


@given(WORDS, WORDS)
def test_texts_without_a_common_word_never_match(words: list[str], others: list[str]) -> None:
    assert hits(" ".join(words), " ".join(word.replace("w", "v") for word in others)) == []


SMALL = st.lists(st.sampled_from(["ab", "cd", "ef"]), max_size=14).map(" ".join)


@settings(max_examples=200)
@given(st.lists(SMALL, min_size=1, max_size=4, unique=True), st.lists(SMALL, min_size=1, max_size=4))
def test_containment_is_what_counting_by_hand_gives(test: list[str], train: list[str]) -> None:
    how = Settings(words=3, characters=400, partial=0.2, threshold=0.5, common=1000)
    expected = {}
    for i, text in enumerate(test):
        for j, other in enumerate(train):
            ours, theirs = trigrams(text), trigrams(other)
            if ours and len(ours & theirs) / len(ours) >= 0.2:
                expected[f"test{i}", f"train{j}"] = len(ours & theirs) / len(ours)
    found = [hit for hit in hits(test, *train, how=how) if hit.kind == "words"]
    assert {(hit.test_id, hit.train_id): hit.containment for hit in found} == pytest.approx(expected)
    for hit in found:
        for span in hit.spans:
            here = test[int(hit.test_id[4:])][slice(*span.test)]
            assert here == train[int(hit.train_id[5:])][slice(*span.train)]
            assert len(here.split()) >= 3


@given(
    st.permutations([*OTHERS, QUESTION]), st.permutations([QUESTION, OTHERS[0] + QUESTION, "x", OTHERS[2]])
)
def test_the_order_of_items_does_not_matter(test: list[str], train: list[str]) -> None:
    found = {
        (test[int(h.test_id[4:])], train[int(h.train_id[5:])], h.containment, h.spans)
        for h in hits(test, *train)
    }
    usual = [QUESTION, OTHERS[0], OTHERS[2]]
    assert {(t, n) for t, n, *_ in found} == {(t, n) for t in usual for n in train if t in n}
    assert all(share == 1.0 for *_, share, _ in found)


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
