import pytest

from pagination import PageError, Paginator


def test_full_pages_need_no_extra_page():
    assert Paginator(range(40), 20).pages == 2


def test_one_item_more_needs_a_page():
    assert Paginator(range(41), 20).pages == 3


def test_empty_listing_has_one_page():
    assert Paginator([], 20).pages == 1
    assert Paginator([], 20).page(1) == []


def test_content_of_a_page():
    assert Paginator(range(25), 10).page(3) == [20, 21, 22, 23, 24]


def test_page_zero_does_not_exist():
    with pytest.raises(PageError):
        Paginator(range(5), 2).page(0)


def test_label():
    assert Paginator(range(41), 20).label(2) == "21-40 of 41"
