"""Why an answer was scored wrong: channels, second reading, lottery; and the arithmetic behind them."""

from __future__ import annotations

import ast
import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.audits.answers import gold, number, same, says, stated
from rollouts.audits.arithmetic import calculated, equations, recalculated
from rollouts.audits.claim_items import Item
from rollouts.audits.extraction import CHANNELS, Lottery, channel, lottery, reread, triage


def wrong(text, expected="18", **more):
    return Item("x", False, text=text, expected=expected, **more)


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("The ducks lay 16 eggs and", "18", "class2"),
        ("so #### 18", "18", "A_extract"),
        ("so #### 18 eggs. Have a great day!", "18", "A_extract"),
        ("first #### 9, then\n#### 18", "18", "A_extract"),
        ("first #### 18, then\n#### 9", "18", "class2"),
        (r"so \boxed{18}", "18", "A_extract"),
        (r"so \boxed{\frac{1}{2}}", r"\frac{1}{2}", "A_extract"),
        ("The answer is $1,800.00.", "1800", "A_extract"),
        ("The final answer: (B)", "B", "A_extract"),
        ("Therefore she makes 18 dollars", "18", "A_extract"),
        ("She sells 9. That makes 18.", "18", "A_extract"),
        ("She has 180 eggs.", "18", "class2"),
        ("The answer is 13.", "3", "class2"),
        ("It was 15 or so.\n#### 15.67", "15", "class2"),
        ("#### 0", "0", "A_extract"),
        ("2 + 2 = 5\n5 * 2 = 10\n#### 10", "8", "B_stepwise"),
        ("16 - 3 - 4 = 9 eggs, 9 × $2 = $19. #### 19", "18", "B_stepwise"),
        ("<<3*6=18>> so #### 24", "18", "B_stepwise"),
        ("3 * 60 = 180\n#### 180", "540", "class2"),
        ("9 * 2 = 18. Wait, I made a mistake: 9 + 2 = 11. #### 11", "18", "B_selfcorrect_regress"),
        ("9 * 2 = 18 and 9 + 2 = 11. #### 11", "18", "class2"),
        ("#### 1.234", "1234", "C_token"),
        ("so it is 1 234,5 in all", "1234.5", "C_token"),
        ("#### 1,5", "1.5", "C_token"),
        ("#### 1.5", "15", "class2"),
        ("#### 3", "so 1 + 2 #### 3", "A_extract"),
    ],
)
def test_the_first_channel_that_applies_names_the_fault(text, expected, found):
    assert channel(wrong(text, expected)) == found


def test_an_output_cut_off_before_its_answer_is_truncated_first_of_all():
    assert channel(wrong("9 * 2 = 18, so", truncated=True)) == "A_truncated"
    assert channel(wrong(None, truncated=True)) == "A_truncated"
    assert channel(wrong("#### 17. Have a great day! Have a", truncated=True)) == "class2"


def test_what_cannot_be_told_is_unknown():
    assert channel(wrong(None)) == "unknown"
    assert channel(wrong("#### 18", expected=None)) == "unknown"
    assert channel(wrong("#### 18", expected="")) == "unknown"


def test_the_scorers_own_right_answer_that_was_scored_wrong_is_an_extraction_fault():
    assert channel(wrong("eighteen", predicted="18.0")) == "A_extract"


@pytest.mark.parametrize(
    ("right", "text", "expected", "again"),
    [
        (False, "#### 18", "18", True),
        (True, "It is #### 13", "3", False),
        (True, "#### 18", "18", True),
        (False, "18", "18", None),
        (True, "The answer is blue as the sky", "blue", True),
        (True, "The answer is azure", "blue", None),
        (None, "#### 18", "18", None),
    ],
)
def test_a_second_reading_goes_by_the_stated_answer_alone(right, text, expected, again):
    assert reread(Item("x", right, text=text, expected=expected)) is again


@pytest.mark.parametrize(
    ("samples", "expected", "won"),
    [
        (("18", "18", "17", "16", "15"), "18", True),
        (("18.0", "$18", "17", "17"), "18", False),  # a tie wins nothing
        (("18", "17", "16"), "18", False),
        (("", "", "18", "18", "17"), "18", True),  # empty answers do not vote
        ((True, True, False), None, True),
        ((True, False), None, False),
        (("17", "17", "18"), "18", False),
        (("#### 18", "so #### 18", "17"), "work #### 18", True),
    ],
)
def test_a_lottery_item_is_one_whose_repeats_vote_for_the_right_answer(samples, expected, won):
    found = lottery([Item("x", False, expected=expected, samples=samples)])
    assert (found.won, found.tested) == (int(won), 1)


def test_the_lottery_is_over_wrong_items_with_repeats_and_has_an_interval():
    items = [Item(str(i), False, expected="1", samples=("1",) if i < 25 else ("2",)) for i in range(65)]
    items += [Item("right", True, expected="1", samples=("1",)), Item("no repeats", False, expected="1")]
    found = lottery(items)
    assert (found.won, found.tested) == (25, 65)
    assert found.rate.value == pytest.approx(0.3846, abs=5e-5)
    assert (found.rate.low, found.rate.high) == pytest.approx((0.2757, 0.5064), abs=5e-4)
    assert lottery([]).rate.value is None


NO_LOTTERY = lottery([])


@pytest.mark.parametrize(("faults", "case"), [(30, "alpha"), (29, "gamma")])
def test_the_advice_is_alpha_from_15_of_100_items_on(faults, case):
    items = [Item(f"f{i}", False, text="#### 18", expected="18") for i in range(faults)]
    items += [Item(f"w{i}", False, text="#### 1", expected="18") for i in range(10)]
    items += [Item(f"r{i}", True) for i in range(200 - len(items))]
    assert triage(items, NO_LOTTERY).case == case
    assert triage(items, NO_LOTTERY).counts["A_extract"] == faults


def test_a_lottery_of_30_of_100_goes_before_it_and_nothing_to_look_at_has_no_advice():
    item = Item("x", False, text="#### 18", expected="18")
    assert triage([item], Lottery(NO_LOTTERY.rate, 3, 10)).case == "beta"
    assert triage([Item("x", False)], NO_LOTTERY).case is None


NUMERIC = st.text("0123456789.,$%-+*/()=# \n", max_size=80)


@given(
    st.text(max_size=400) | NUMERIC,
    st.text(max_size=20) | NUMERIC | st.integers().map(str),
    st.sampled_from([True, False, None]),
)
def test_any_text_has_exactly_one_channel(text, expected, cut):
    item = wrong(text, expected, truncated=cut)
    assert channel(item) in CHANNELS
    found = triage([item], NO_LOTTERY)
    assert sum(found.counts.values()) == found.wrong == 1


@pytest.mark.parametrize(
    "text",
    ["1" * 200_000, "=1" * 100_000, "1+" * 100_000 + "=1", "####" * 50_000, "so " * 70_000, r"\boxed{" * 30_000, "." * 200_000,
     "1 " * 100_000, "(" * 100_000 + "=1", "the answer is " * 15_000, "actually, = 18 " * 14_000],
)  # fmt: skip
def test_hostile_texts_are_read_in_linear_time(text):
    assert channel(wrong(text)) in CHANNELS


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "${}", "{}.00", " {}. ", "**{}**", "{}%"]))
def test_a_number_is_the_same_in_any_dress(value, dress):
    assert same(dress.format(value), f"{value:,}")
    assert number(dress.format(f"{value:,}")) == value


def test_answers_compare_as_numbers_or_as_words():
    assert not same("3", "13")
    assert same("(B)", "b.")
    assert not same("", "")
    assert says("18 eggs", "18")
    assert says("3 + 15 = 18 eggs", "18")
    assert not says("180 eggs", "18")
    assert gold("work #### 7\n#### 0") == "0"
    assert stated("no answer here") is None


def test_steps_are_found_among_words_units_and_latex():
    text = (
        r"1. 16 - 7 = 9.5. 16 - 7 = 9 eggs. \(4 \times 20 = 80\), 1,000 ÷ 8 = $125, 2 x 3 = 6, x = 5, 7 = 7"
    )
    found = [(each.left, each.claimed) for each in equations(text)]
    assert found == [
        ("16 - 7", Fraction("9.5")),
        ("16 - 7", 9),
        ("4 * 20", 80),
        ("1000 / 8", 125),
        ("2*3", 6),
    ]


def test_a_wrong_step_is_carried_on_and_a_rounded_one_is_left():
    assert recalculated(equations("2 + 2 = 5, 5 * 3 = 15")) == 12
    assert recalculated(equations("10 / 3 = 3.33, 3.33 * 3 = 9.99")) == Fraction("9.99")
    assert recalculated(equations("1 / 0 = 1")) is None
    assert recalculated([]) is None


@pytest.mark.parametrize(
    "expression",
    ["9 ** 9 ** 9", "__import__('os')", "a + 1", "1 if 1 else 2", "(1).real", "1 // 0", "1 / 0", "0x10 + 1", "1 +", "True + 1",
     "1" * 81, "((((" * 10, "1 @ 1", "-'a'"],
)  # fmt: skip
def test_only_plain_arithmetic_is_calculated(expression):
    assert calculated(expression) is None


OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@given(
    st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 999)), min_size=1, max_size=8),
    st.integers(0, 999),
)
def test_expressions_have_the_value_that_python_gives_them(rest, first):
    expression = str(first) + "".join(f" {sign} {value}" for sign, value in rest)
    tree = ast.parse(expression, mode="eval").body

    def value(node):
        if isinstance(node, ast.Constant):
            return node.value
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}[type(node.op)]
        return OPERATIONS[sign](value(node.left), value(node.right))

    assert calculated(expression) == value(tree)
