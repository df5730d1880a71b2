"""Read a JUnit XML report that untrusted code could have written."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from .verdict import CheckResult

_MAX_CASES = 20_000
_MAX_MESSAGE = 1000
_WORST_FIRST = ("error", "fail", "skip", "pass")


class BadReport(ValueError):
    """The report is not one that pytest writes."""


def parse_report(data: bytes) -> list[CheckResult]:
    """The test cases, one per id (the worst of several), in the report's order. Raises `BadReport`.

    pytest writes UTF-8 without a document type, entities, CDATA or comments, so anything with "<!" in it is
    refused unparsed: no entity is ever expanded.
    """
    if not data.strip():
        raise BadReport("it is empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadReport("it is not UTF-8") from None
    if "<!" in text:
        raise BadReport("it declares a document type or entities")
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise BadReport(f"it is not XML ({error})") from None
    found: dict[str, CheckResult] = {}
    for count, case in enumerate(root.iter("testcase")):
        if count >= _MAX_CASES:
            raise BadReport(f"it lists more than {_MAX_CASES} test cases")
        check = _check(case)
        earlier = found.get(check.id)
        if earlier is None or _WORST_FIRST.index(check.outcome) < _WORST_FIRST.index(earlier.outcome):
            found[check.id] = check
    return list(found.values())


def base_name(check_id: str) -> str:
    """The id without parameters: "module::test[1-2]" is a case of "module::test"."""
    owner, separator, name = check_id.partition("::")
    return owner + separator + name.partition("[")[0]


def _check(case: ElementTree.Element) -> CheckResult:
    owner, name = case.get("classname", ""), case.get("name", "")
    identity = f"{owner}::{name}" if owner else name
    for tag, outcome in (("error", "error"), ("failure", "fail"), ("skipped", "skip")):
        child = case.find(tag)
        if child is not None:
            message = f"{child.get('message', '')}\n{child.text or ''}".strip()
            return CheckResult.model_validate(
                {"id": identity, "outcome": outcome, "message": _short(message), "seconds": _seconds(case)}
            )
    return CheckResult(id=identity, outcome="pass", seconds=_seconds(case))


def _short(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + " [...]"


def _seconds(case: ElementTree.Element) -> float | None:
    try:
        value = float(case.get("time", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
