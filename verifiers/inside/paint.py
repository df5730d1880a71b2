"""What of an element reaches the screen: pictures of the page with and without it.

Style can hide an element in more ways than can be listed (filters, masks, clips, colours, things above). So
a picture is taken as the page is, one with the element faded out, and one as it was again; where the first
and the last agree and the middle one differs, the element was seen.

While an element is faded the page's scripts are off, so that none can answer it by painting something else;
marks are attributes with a name no style sheet knows. The first picture is taken with scripts on: a page
that looks better where scripts are off (the media feature `scripting`) gains nothing.

What remains: a picture that moves by itself (a GIF, a film) above an element can change in step with the
three pictures, by chance.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error

from .paint_js import TOOLS

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, FloatRect, Page

_LEAST = 4  # pixels; less than 2 x 2 of them nobody sees
_LOST = 0.05  # share of what an element paints that things above may take away
_TRIES = 3  # when something moves
_LAYERS = 20  # things above an element that are taken away one after the other
_PATIENCE = 20  # turns of 50 ms in which pictures may arrive
_TOLD = 5

View = dict[str, int]  # index, and a box in pixels of the viewport


class Paint:
    """Looks at the elements of one page. Raises Playwright's `Error` when the page cannot be measured."""

    def __init__(self, page: Page, session: CDPSession, frame: str, world: int) -> None:
        self._page, self._session, self._frame, self._world = page, session, frame, world
        source = TOOLS.replace("@MARK@", f"m{secrets.token_hex(8)}-")
        answer = session.send("Runtime.evaluate", {"expression": source, "contextId": world})
        if "exceptionDetails" in answer:
            raise Error("the page cannot be measured")
        self._patience = _PATIENCE
        self._tools = answer["result"]["objectId"]
        session.send("DOM.enable")
        session.send("DOM.getDocument", {"depth": 0})

    def unseen(self, selector: str) -> list[str]:
        """Names of up to 5 matches that no picture shows."""
        names = self._call("choose", selector)
        pending = list(range(len(names)))
        bad: list[str] = []
        while pending and len(bad) < _TOLD:
            first = pending[0]
            for where in self._call("places", first):
                seen = self._seen(pending, where)
                pending = [index for index in pending if index not in seen]
                if first in seen:
                    break
            else:
                bad.append(f"{names[first]} (nothing of it is seen)")
                pending.remove(first)
        return bad

    def covered(self, selector: str) -> list[str]:
        """Up to 5 matches that something hides though it lets clicks through, each with that thing's name."""
        bad: list[str] = []
        for index, name in enumerate(self._call("choose", selector)):
            if len(bad) < _TOLD and (by := self._covered(index)):
                bad.append(f"{name} ({by})")
        return bad

    def _seen(self, pending: Sequence[int], where: str) -> set[int]:
        """Which of the elements that are in view, when the first one was brought there, are seen."""
        views: list[View] = self._call("bring", pending, where)
        seen: set[int] = set()
        for _ in range(_TRIES):
            still = True
            self._wait()
            if not (views and (area := _around(views))):
                break
            before = self._shot(area)
            with self._frozen():
                for view in views:
                    self._keep(f"faded{view['index']}", self._faded(view["index"], _box(view)))
                self._keep("before", before)
                self._keep("after", self._shot(area))
                for view in views:
                    found = self._compare(view, area)
                    if found["painted"] >= _LEAST and found["painted"] > found["noise"]:
                        seen.add(view["index"])
                    still = still and not found["moving"]
            if still or pending[0] in seen:
                break
        return seen

    def _compare(self, view: View, area: FloatRect) -> dict[str, int]:
        index, at = view["index"], (view["x"] - int(area["x"]), view["y"] - int(area["y"]))
        found: dict[str, int] = self._call("compare", f"faded{index}", "", *at)
        if found["moving"]:  # then what is behind or above may move; what it does is not the element's
            self._keep("again", self._faded(index, _box(view)))
            found = self._call("compare", f"faded{index}", "again", *at)
        return found

    def _covered(self, index: int) -> str:
        """What hides an element, "" when nothing does."""
        views: list[View] = self._call("bring", [index], "center")
        above = self._above(index)
        if not above:
            return ""
        if not views:
            return "not visible"
        by, box = above[0][1], _box(views[0])
        self._wait()
        before = self._shot(box)
        with self._frozen():
            self._keep("before", before)
            self._keep("after", self._shot(box))
            self._keep("faded", self._faded(index, box))
            for _ in range(_LAYERS):
                if not above:
                    break
                if not all(node for node, _ in above):
                    return by
                for node, _ in above:
                    self._call("hide", {"objectId": node})
                above = self._above(index)
            else:
                return by
            self._keep("bare", self._shot(box))
            self._keep("bareFaded", self._faded(index, box))
            found = self._call("lost")
        return by if found["lost"] > _LOST * found["painted"] else ""

    def _above(self, index: int) -> list[tuple[str, str]]:
        """(node, name) of what lies over an element, clicks or not; the node is "" when it cannot be had."""
        found: list[tuple[str, str]] = []
        for x, y in self._call("aim", index):
            where = {"x": x, "y": y, "ignorePointerEventsNone": True}
            try:
                hit = self._session.send("DOM.getNodeForLocation", where)
            except Error:  # outside of the viewport
                found.append(("", "nothing"))
                continue
            node = self._node(hit)
            name = self._call("foreign", index, {"objectId": node}) if node else "?"
            if name:
                found.append((node, name))
        return found

    def _node(self, hit: dict[str, Any]) -> str:
        """The object that was hit; for one in a frame, the frame's element in the page."""
        number, frame = hit["backendNodeId"], hit["frameId"]
        try:
            if frame != self._frame:
                top = self._session.send("Page.getFrameTree")["frameTree"]
                frame = next(each["frame"]["id"] for each in top["childFrames"] if frame in _frames(each))
                number = self._session.send("DOM.getFrameOwner", {"frameId": frame})["backendNodeId"]
            wanted = {"backendNodeId": number, "executionContextId": self._world}
            return str(self._session.send("DOM.resolveNode", wanted)["object"].get("objectId", ""))
        except (Error, StopIteration):
            return ""

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """The page's scripts are off, and all that was marked is as before afterwards."""
        self._session.send("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            yield
        finally:
            self._call("unhide")
            self._call("forget")
            self._session.send("Emulation.setScriptExecutionDisabled", {"value": False})

    def _faded(self, index: int, box: FloatRect) -> str:
        self._call("fade", index)
        picture = self._shot(box)
        self._call("unfade", index)
        return picture

    def _shot(self, box: FloatRect) -> str:
        """A part of the viewport as PNG in base64."""
        data = self._page.screenshot(animations="disabled", caret="hide", scale="css", clip=box)
        return base64.b64encode(data).decode()

    def _wait(self) -> None:
        while not self._call("rest") and self._patience:
            self._patience -= 1
            self._page.wait_for_timeout(50)

    def _keep(self, name: str, picture: str) -> None:
        self._call("keep", name, picture)

    def _call(self, name: str, *arguments: Any) -> Any:
        """One of the tools; an argument `{"objectId": ...}` stands for that object."""
        given = [
            each if isinstance(each, dict) and "objectId" in each else {"value": each} for each in arguments
        ]
        call = {
            "objectId": self._tools,
            "functionDeclaration": f"function (...given) {{ return this.{name}(...given); }}",
            "arguments": given,
            "returnByValue": True,
            "awaitPromise": True,
        }
        answer = self._session.send("Runtime.callFunctionOn", call)
        if "exceptionDetails" in answer:
            told = answer["exceptionDetails"]
            raise Error(f"the page cannot be measured: {told.get('exception', {}).get('description', '')}")
        return answer["result"].get("value")


def _frames(tree: dict[str, Any]) -> Iterator[str]:
    """The ids of a frame and all below it."""
    yield tree["frame"]["id"]
    for child in tree.get("childFrames", ()):
        yield from _frames(child)


def _around(views: Sequence[View]) -> FloatRect:
    """The smallest box around all of them."""
    left, top = min(view["x"] for view in views), min(view["y"] for view in views)
    right = max(view["x"] + view["width"] for view in views)
    bottom = max(view["y"] + view["height"] for view in views)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _box(view: View) -> FloatRect:
    return {"x": view["x"], "y": view["y"], "width": view["width"], "height": view["height"]}
