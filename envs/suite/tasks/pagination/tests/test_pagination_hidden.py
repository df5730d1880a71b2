import pytest

from pagination import PageError, Paginator


@pytest.mark.parametrize(
    ("items", "size", "pages"),
    [(0, 1, 1), (1, 1, 1), (2, 1, 2), (9, 10, 1), (10, 10, 1), (11, 10, 2), (100, 7, 15), (98, 7, 14)],
)
def test_number_of_pages(items, size, pages):
    assert Paginator(range(items), size).pages == pages


def test_pages_hold_everything_once():
    paginator = Paginator(range(60), 20)
    seen = [item for n in range(1, paginator.pages + 1) for item in paginator.page(n)]
    assert seen == list(range(60))
    assert all(paginator.page(n) for n in range(1, paginator.pages + 1))


def test_page_after_the_last_does_not_exist():
    with pytest.raises(PageError):
        Paginator(range(40), 20).page(3)


def test_links_at_the_ends():
    paginator = Paginator(range(100), 10)
    assert paginator.links(1) == [1, 2, None, 10]
    assert paginator.links(10) == [1, None, 9, 10]
    assert paginator.links(5) == [1, None, 4, 5, 6, None, 10]


def test_links_of_a_single_page():
    assert Paginator([], 5).links(1) == [1]


def test_labels():
    assert Paginator(range(40), 20).label(2) == "21-40 of 40"
    assert Paginator([], 20).label(1) == "0 of 0"
    assert Paginator(range(3), 20).label(1) == "1-3 of 3"


def test_size_has_to_be_positive():
    with pytest.raises(ValueError):
        Paginator([], 0)
