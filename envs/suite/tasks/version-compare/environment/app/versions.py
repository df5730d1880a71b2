"""Comparison of version strings like 1.4.0 or 2.0.0-rc.1."""

import re

PATTERN = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def parse(text):
    """((major, minor, patch), pre-release parts); build data after + is dropped."""
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a version: {text!r}")
    numbers = tuple(int(part) for part in match.group(1, 2, 3))
    pre = match.group(4)
    return numbers, tuple(pre.split(".")) if pre else ()


def _compare_values(a, b):
    return (a > b) - (a < b)


def _compare_identifiers(a, b):
    if a.isdigit() and b.isdigit():
        return _compare_values(int(a), int(b))
    if a.isdigit():
        return -1
    if b.isdigit():
        return 1
    return _compare_values(a, b)


def _compare_pre(a, b):
    for left, right in zip(a, b):
        result = _compare_identifiers(left, right)
        if result:
            return result
    return _compare_values(len(a), len(b))


def compare(a, b):
    """-1, 0 or 1 as version a is older than, equal to or newer than b."""
    numbers_a, pre_a = parse(a)
    numbers_b, pre_b = parse(b)
    if numbers_a != numbers_b:
        return _compare_values(numbers_a, numbers_b)
    if pre_a and pre_b:
        return _compare_pre(pre_a, pre_b)
    return _compare_values(bool(pre_a), bool(pre_b))


def latest(versions):
    """The newest of some versions."""
    newest = None
    for version in versions:
        if newest is None or compare(version, newest) > 0:
            newest = version
    return newest


def is_compatible(wanted, found):
    """Whether `found` can stand in for `wanted`: the same major number and not older."""
    return parse(wanted)[0][0] == parse(found)[0][0] and compare(found, wanted) >= 0
