import copy

import pytest

from settings import ConfigError, from_environ, load, merge, resolve


def test_deep_merge():
    base = {"a": {"b": {"c": 1, "d": 2}, "e": 3}}
    assert merge(base, {"a": {"b": {"c": 9}}}) == {"a": {"b": {"c": 9, "d": 2}, "e": 3}}


def test_inputs_stay_as_they_are():
    base, over = {"a": {"b": 1}}, {"a": {"c": {"d": 2}}}
    before = copy.deepcopy((base, over))
    merged = merge(base, over)
    merged["a"]["b"] = 99
    merged["a"]["c"]["d"] = 99
    assert (base, over) == before


def test_lists_are_replaced():
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}


def test_section_and_value_change_places():
    assert merge({"a": {"b": 1}}, {"a": 5}) == {"a": 5}
    assert merge({"a": 5}, {"a": {"b": 1}}) == {"a": {"b": 1}}


def test_none_inside_a_section():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}
    assert merge({}, {"a": {"b": None}, "c": None}) == {"a": {}}


def test_single_reference_keeps_the_type():
    config = {"port": 80, "list": [1], "a": "${port}", "b": ":${port}", "c": "${list}"}
    assert resolve(config) == {"port": 80, "list": [1], "a": 80, "b": ":80", "c": [1]}


def test_references_in_lists_and_sections():
    config = {"x": {"y": "v"}, "l": ["${x.y}", {"z": "-${x.y}-"}]}
    assert resolve(config)["l"] == ["v", {"z": "-v-"}]


def test_reference_to_a_section():
    assert resolve({"a": {"b": "${c}"}, "c": 1, "d": "${a}"})["d"] == {"b": 1}


@pytest.mark.parametrize("config", [{"a": "${a}"}, {"a": "${b}", "b": "x${a}"}, {"a": "${b}", "b": ["${a}"]}])
def test_circles(config):
    with pytest.raises(ConfigError):
        resolve(config)


def test_same_reference_twice_is_no_circle():
    assert resolve({"a": "1", "b": "${a}${a}", "c": "${b}${b}"})["c"] == "1111"


def test_unknown_deep_path():
    with pytest.raises(ConfigError):
        resolve({"a": {"b": 1}, "c": "${a.b.d}"})


def test_environment_types():
    environ = {"APP_A": "true", "APP_B": "false", "APP_C": "-5", "APP_D": "1.5", "APP_E": "", "APP_F": "True"}
    assert from_environ(environ) == {"a": True, "b": False, "c": -5, "d": "1.5", "e": "", "f": "True"}


def test_load_everything():
    layers = [{"server": {"host": "h", "port": 80}, "url": "${server.host}:${server.port}"}, {"debug": False}]
    environ = {"APP_SERVER__PORT": "81", "APP_DEBUG": "true"}
    expected = {"server": {"host": "h", "port": 81}, "url": "h:81", "debug": True}
    assert load(layers, environ) == expected


def test_other_variables_of_the_environment_are_left_out():
    assert from_environ({"PATH": "/bin", "APPLE": "1", "APP_X": "2"}) == {"x": 2}
