"""From what was seen to what holds: one function for each kind of check. Expected values live only here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .browser import Fact, PageSeen
from .pixels import Area, BadPicture, Pixels, covered, decode, difference, difference_picture, encode
from .verdict import CheckResult
from .visual_spec import (
    Box,
    Comparison,
    ConsoleCheck,
    ImageCheck,
    LayoutCheck,
    Page,
    PixelCheck,
    RoleCheck,
    ScrollCheck,
    SelectorCheck,
)

_SHOWN = 200  # characters of a value in a message
_TOLD = 3  # messages of each kind, in the order of their text: that of their arrival differs from run to run


@dataclass(frozen=True)
class Finding:
    """What one check came to. `message` is empty when it holds."""

    message: str = ""
    cause: str = (
        ""  #: "size" when a picture has another size than its reference, "outside" when it is cut off
    )
    picture: bytes = b""  #: a PNG of the difference

    def result(self, name: str) -> CheckResult:
        """As a verdict carries it."""
        return CheckResult(id=name, outcome="fail" if self.message else "pass", message=self.message[:1000])


def queries(page: Page) -> list[dict[str, Any]]:
    """What has to be measured for a page's checks. Nothing that is expected is in it."""
    return [query for check in page.checks for query in _queries(check)]


def _queries(check: Any) -> Iterator[dict[str, Any]]:
    match check:
        case SelectorCheck():
            wanted = {"attributes": [*check.attributes], "style": [*check.style]}
            yield {"id": check.id, "what": "selector", "selector": check.selector, **wanted}
        case RoleCheck():
            yield {"id": check.id, "what": "role", "role": check.role, "name": check.name}
        case LayoutCheck():
            yield {"id": check.id, "what": check.kind, "selector": check.selector}
        case ScrollCheck():
            yield {"id": check.id, "what": "scroll"}
        case PixelCheck():
            parts = {"clip": check.clip} if check.clip else {}
            parts |= {f"mask{i}": mask for i, mask in enumerate(check.masks) if isinstance(mask, str)}
            for part, selector in parts.items():
                yield {"id": f"{check.id}#{part}", "what": "boxes", "selector": selector}


def judge(check: Any, seen: PageSeen, references: Mapping[str, Pixels]) -> Finding:
    """Whether a check of a page holds."""
    for part in [check.id, *(query["id"] for query in _queries(check))]:
        if part in seen.facts and seen.facts[part].error:
            return Finding(f"cannot be measured: {seen.facts[part].error}")
    if isinstance(check, ConsoleCheck):
        return Finding(_console(check, seen))
    if isinstance(check, PixelCheck):
        return _page_pixels(check, seen, references[check.reference])
    fact = seen.facts.get(check.id)
    if fact is None:
        return Finding("was not measured")
    rules: dict[type, Callable[[Any, Fact], str]] = {
        SelectorCheck: _selector,
        RoleCheck: _role,
        LayoutCheck: _layout,
        ScrollCheck: _scroll,
    }
    return Finding(rules[type(check)](check, fact))


def _selector(check: SelectorCheck, fact: Fact) -> str:
    if check.count is not None and fact.count != check.count:
        return f"{check.selector} matches {fact.count} times, not {check.count}"
    expects = check.text is not None or check.contains is not None or check.attributes or check.style
    if fact.count == 0:
        return f"nothing matches {check.selector}" if check.count is None or expects else ""
    if check.text is not None and fact.text != _one_space(check.text):
        return f"the text is {_shown(fact.text)}"
    if check.contains is not None and _one_space(check.contains) not in (fact.text or ""):
        return f"the text is {_shown(fact.text)}"
    for name, wanted in check.attributes.items():
        if fact.attributes.get(name) != wanted:
            return f"the attribute {name} is {_shown(fact.attributes.get(name))}"
    for name, wanted in check.style.items():
        if _one_space(fact.style.get(name, "")).lower() != _one_space(wanted).lower():
            return f"the style {name} is {_shown(fact.style.get(name))}"
    return ""


def _role(check: RoleCheck, fact: Fact) -> str:
    if fact.count == check.count or (check.count is None and fact.count):
        return ""
    named = f" named {check.name!r}" if check.name is not None else ""
    return f"{fact.count} elements have the role {check.role}{named}"


def _layout(check: LayoutCheck, fact: Fact) -> str:
    if fact.count == 0:
        return f"nothing matches {check.selector}"
    if check.kind == "no_overlap" and fact.count < 2:
        return f"{check.selector} matches once, so there is nothing to compare"
    words = {
        "visible": "not visible",
        "in_viewport": "not inside the viewport",
        "not_covered": "covered",
        "no_overlap": "overlapping",
    }
    return f"{words[check.kind]}: {'; '.join(fact.bad)}" if fact.bad else ""


def _scroll(_check: ScrollCheck, fact: Fact) -> str:
    return f"{fact.width:g} px wide in a viewport of {fact.room:g} px" if fact.width > fact.room else ""


def _console(check: ConsoleCheck, seen: PageSeen) -> str:
    kinds = (
        ("errors", check.errors, seen.errors),
        ("exceptions", check.exceptions, seen.exceptions),
        ("failed requests", check.requests, seen.requests),
    )
    found = [
        f"{len(messages)} {name}: {', '.join(_shown(message) for message in sorted(messages)[:_TOLD])}"
        for name, on, messages in kinds
        if on and messages
    ]
    return "; ".join(found)


def _page_pixels(check: PixelCheck, seen: PageSeen, reference: Pixels) -> Finding:
    try:
        picture = decode(seen.png)
    except BadPicture as error:
        return Finding(f"the screenshot cannot be compared: {error}")
    left = top = 0
    if check.clip is not None:
        boxes = seen.facts[f"{check.id}#clip"].boxes
        if not boxes:
            return Finding(f"nothing matches {check.clip}")
        first = boxes[0]
        left, right = _edge(first.x), _edge(first.x + first.width)
        top, bottom = _edge(first.y), _edge(first.y + first.height)
        height, width = picture.shape[:2]
        if left < 0 or top < 0 or right > width or bottom > height:
            return Finding(
                f"{check.clip} lies at ({left}, {top}) to ({right}, {bottom}), which reaches outside of the "
                f"viewport of {width}x{height} pixels: what is outside cannot be compared",
                cause="outside",
            )
        picture = picture[top:bottom, left:right]
    soft = [
        Area(box.x - left, box.y - top, box.width, box.height)
        for index, mask in enumerate(check.masks)
        if isinstance(mask, str)
        for box in seen.facts[f"{check.id}#mask{index}"].boxes
    ]
    return compare(check, picture, reference, soft)


def _edge(position: float) -> int:
    """The pixel a browser paints an edge at."""
    return math.floor(position + 0.5)


def judge_image(check: ImageCheck, data: bytes, reference: Pixels) -> Finding:
    """Whether a PNG that the work wrote looks like its reference."""
    try:
        return compare(check, decode(data), reference, ())
    except BadPicture as error:
        return Finding(f"{check.path} cannot be compared: {error}")


def compare(check: Comparison, picture: Pixels, reference: Pixels, soft: list[Area] | tuple[()]) -> Finding:
    """Compare with the check's own masks and those measured on the page (`soft`, whose size is bounded)."""
    if picture.shape != reference.shape:
        (height, width), (wanted_height, wanted_width) = picture.shape[:2], reference.shape[:2]
        return Finding(
            f"{width}x{height} pixels, the reference has {wanted_width}x{wanted_height}", cause="size"
        )
    share = float(covered(picture.shape, soft).mean()) if soft else 0.0
    if share > check.max_masked:
        return Finding(
            f"masked elements cover {share:.1%} of the picture; {check.max_masked:.1%} are allowed"
        )
    hard = [Area(mask.x, mask.y, mask.width, mask.height) for mask in check.masks if isinstance(mask, Box)]
    masks = [*hard, *soft]
    found = difference(picture, reference, masks, check.tolerance)
    if found.share <= check.max_share:
        return Finding()
    message = (
        f"{found.count} pixels differ ({found.share:.2%}; {check.max_share:.2%} are allowed), "
        f"by up to {found.largest} of 255"
    )
    return Finding(message, picture=encode(difference_picture(picture, found, masks)))


def _one_space(text: str) -> str:
    return " ".join(text.split())


def _shown(text: str | None) -> str:
    return "absent" if text is None else repr(text if len(text) <= _SHOWN else text[:_SHOWN] + " …")
