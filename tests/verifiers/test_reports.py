"""Reading what untrusted code may have written: JUnit reports and reward files."""

from __future__ import annotations

import pytest

from verifiers.junit import BadReport, base_name, parse_report
from verifiers.reward import BadReward, parse_reward_json, parse_reward_text

REPORT = b"""<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="5">
<testcase classname="test_a" name="test_one" time="0.25" />
<testcase classname="test_a.TestK" name="test_two[1-2]" time="0.1"><failure message="assert 1 == 2">trace</failure></testcase>
<testcase classname="test_a" name="test_three" time="nan"><skipped message="no reason" /></testcase>
<testcase classname="" name="test_b" time="0"><error message="collection failure">SyntaxError</error></testcase>
<testcase classname="test_a" name="test_one" time="0"><error message="teardown">boom</error></testcase>
</testsuite></testsuites>"""


def test_every_case_is_read_and_the_worst_of_one_test_counts():
    checks = {check.id: check for check in parse_report(REPORT)}
    assert {identity: check.outcome for identity, check in checks.items()} == {
        "test_a::test_one": "error",
        "test_a.TestK::test_two[1-2]": "fail",
        "test_a::test_three": "skip",
        "test_b": "error",
    }
    assert checks["test_a.TestK::test_two[1-2]"].message == "assert 1 == 2\ntrace"
    assert checks["test_a::test_three"].seconds is None


def test_parameters_are_no_part_of_the_base_name():
    assert base_name("test_a.TestK::test_two[x::y]") == "test_a.TestK::test_two"


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><testsuites><testcase name="&b;"/></testsuites>'
)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (BOMB, "document type"),
        (BOMB.decode().encode("utf-16"), "UTF-8"),
        (REPORT[:200], "not XML"),
        (b"<a>" * 100_000, "not XML"),
        (b"<t>" + b"<testcase name='x'/>" * 20_001 + b"</t>", "more than"),
    ],
)
def test_what_pytest_does_not_write_is_refused(data, why):
    with pytest.raises(BadReport, match=why):
        parse_report(data)


def test_a_reward_is_one_number_from_0_to_1():
    assert parse_reward_text(b" 0.25\n") == 0.25
    assert parse_reward_json(b'{"reward": 1, "style": 0.5}') == (1.0, {"reward": 1.0, "style": 0.5})
    assert parse_reward_json(b'{"accuracy": 0.5}')[0] == 0.5


@pytest.mark.parametrize("data", [b"", b" \n", b"passed", b"nan", b"inf", b"1.5", b"-1", b"1 1"])
def test_anything_else_is_no_reward_and_no_zero(data):
    with pytest.raises(BadReward):
        parse_reward_text(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[1]",
        b"{}",
        b'{"a": 1, "b": 0}',
        b'{"reward": true}',
        b'{"reward": "1"}',
        b'{"reward": NaN}',
        b"[" * 9999,
    ],
)
def test_anything_else_in_json_is_no_reward_either(data):
    with pytest.raises(BadReward):
        parse_reward_json(data)
