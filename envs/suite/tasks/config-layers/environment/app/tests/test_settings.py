import pytest

from settings import ConfigError, from_environ, load, merge, resolve


def test_later_layer_wins():
    assert merge({"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}


def test_sections_are_merged():
    merged = merge({"server": {"host": "h", "port": 1}}, {"server": {"port": 2}})
    assert merged == {"server": {"host": "h", "port": 2}}


def test_none_removes():
    assert merge({"a": 1, "b": 2}, {"a": None}) == {"b": 2}


def test_reference():
    assert resolve({"host": "h", "url": "http://${host}/"}) == {"host": "h", "url": "http://h/"}


def test_reference_to_a_reference():
    config = {"a": "x", "b": "${a}y", "c": "${b}z"}
    assert resolve(config)["c"] == "xyz"


def test_unknown_reference():
    with pytest.raises(ConfigError):
        resolve({"a": "${nope}"})


def test_environment():
    assert from_environ({"APP_SERVER__PORT": "8080", "HOME": "/"}) == {"server": {"port": 8080}}


def test_load():
    config = load([{"name": "n"}, {"path": "/srv/${name}"}])
    assert config == {"name": "n", "path": "/srv/n"}
