"""Folding: what looks the same is the same, and every character knows where it came from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.governance.normal_text import fold, fold_with_offsets


@pytest.mark.parametrize(
    ("given_text", "plain"),
    [
        ("Ηеllо Wоrld", "hello world"),  # Greek and Cyrillic letters among Latin ones
        ("ﬁne Ｆｕｌｌ 𝐛𝐨𝐥𝐝", "fine full bold"),
        ("zero\u200bwidth so\u00adft \u202eback\u202c", "zerowidth soft back"),
        ("re\x00mo\x07ved", "removed"),
        ("naïve Ångström s\u0336t\u0336ruck øre", "naive angstrom struck ore"),
        ("sᴍᴀʟʟ ᴄᴀᴘɪᴛᴀʟs", "small capitals"),
        ("ϲοntаmіnаtіοn", "contamination"),
        ("٣ ५ ７", "3 5 7"),
        ("a\u00a0b\u3000c\td\n", "a b c d "),
        ("Straße", "strasse"),
    ],
)
def test_disguises_fold_to_plain_text(given_text: str, plain: str) -> None:
    assert fold(given_text) == plain


@pytest.mark.parametrize(
    ("one", "other"), [("l", "1"), ("O", "0"), ("か", "が"), ("कि", "का"), ("a", "b"), ("+", "-")]
)
def test_what_differs_in_meaning_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize("text", ["Вода и хлеб, тот самый", "ΣΟΦΟΣ σοφός"])
def test_a_text_in_its_own_script_matches_itself_in_capitals(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower())


def test_hangul_is_the_same_composed_and_taken_apart() -> None:
    assert fold("\ud55c") == fold("\u1112\u1161\u11ab")


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text())
def test_folding_goes_character_by_character(one: str, other: str) -> None:
    assert fold(one + other) == fold(one) + fold(other)


@given(st.text())
def test_offsets_name_the_character_each_one_came_from(text: str) -> None:
    folded, offsets = fold_with_offsets(text)
    assert folded == fold(text)
    assert len(offsets) == len(folded)
    assert (offsets[1:] >= offsets[:-1]).all()
    assert all(folded[at] in fold(text[offset]) for at, offset in enumerate(offsets.tolist()))
