import pytest

from versions import compare, is_compatible, latest, parse

ORDER = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.1.0",
    "2.0.0-0",
    "2.0.0",
]


def test_whole_order():
    for i, a in enumerate(ORDER):
        for j, b in enumerate(ORDER):
            assert compare(a, b) == (i > j) - (i < j), (a, b)


def test_latest_in_any_order():
    assert latest(ORDER) == "2.0.0"
    assert latest(reversed(ORDER)) == "2.0.0"


def test_latest_of_nothing():
    assert latest([]) is None


def test_build_data_does_not_matter():
    assert compare("1.0.0+5", "1.0.0+7") == 0
    assert compare("1.0.0-rc.1+5", "1.0.0") == -1


def test_release_is_newer_than_its_pre_release():
    assert compare("3.1.4", "3.1.4-rc.9") == 1


def test_compatibility_with_pre_releases():
    assert not is_compatible("1.4.0", "1.4.0-rc.1")
    assert is_compatible("1.4.0-rc.1", "1.4.0")


@pytest.mark.parametrize("text", ["", "1.2", "1.2.x", "1.2.3-"])
def test_garbage(text):
    with pytest.raises(ValueError):
        parse(text)
