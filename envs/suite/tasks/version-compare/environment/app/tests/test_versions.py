import pytest

from versions import compare, is_compatible, latest, parse


def test_numbers_are_compared_as_numbers():
    assert compare("1.10.0", "1.9.0") == 1


def test_equal_versions():
    assert compare("1.2.3", "v1.2.3") == 0


def test_pre_release_is_older():
    assert compare("2.0.0-rc.1", "2.0.0") == -1


def test_latest_prefers_the_release():
    assert latest(["1.9.0", "2.0.0-rc.1", "2.0.0"]) == "2.0.0"


def test_order_of_pre_releases():
    assert compare("1.0.0-alpha", "1.0.0-beta") == -1


def test_compatible():
    assert is_compatible("1.2.0", "1.4.1")
    assert not is_compatible("1.2.0", "2.0.0")


def test_garbage_is_refused():
    with pytest.raises(ValueError):
        parse("1.2")
