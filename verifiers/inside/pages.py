"""One page: open it, act on it, take its picture, measure it."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error, TimeoutError

from .inspect_js import SOURCE
from .paint import Paint

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

_KEPT, _CHARACTERS = 50, 500  # messages of one kind, characters of each

Plan = dict[str, Any]


class Watch:
    """What a page reports on its own while it is used."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.exceptions: list[str] = []
        self.requests: list[str] = []
        self.crashed = False
        page.on("console", self._console)
        page.on("pageerror", lambda error: _keep(self.exceptions, str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("crash", self._crash)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _unasked(message.location.get("url", "")):
            _keep(self.errors, message.text)

    def _failed(self, request: Request) -> None:
        _keep(self.requests, f"{request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not _unasked(response.url):
            _keep(self.requests, f"{response.url}: status {response.status}")

    def _crash(self, _page: Page) -> None:
        self.crashed = True


def _unasked(url: str) -> bool:
    """A whole Chromium asks for this on its own; the headless shell does not."""
    return urllib.parse.urlsplit(url).path == "/favicon.ico"


def look(browser: Browser, plan: Plan, answer: Any) -> dict[str, Any]:
    """Everything the plan asks of one page. What goes wrong is in `problem` (one word) and `detail`."""
    seen: dict[str, Any] = {"id": plan["id"], "problem": "", "detail": "", "facts": {}, "screenshot": ""}
    watch: Watch | None = None
    try:
        context = browser.new_context(
            viewport=plan["viewport"],
            device_scale_factor=1,
            locale="en-US",
            timezone_id="UTC",
            color_scheme="light",
            reduced_motion="reduce",
            service_workers="block",
            accept_downloads=False,
        )
        if answer is not None:
            context.route("**/*", answer)
        page = context.new_page()
        watch = Watch(page)
        _open(page, plan, seen)
        if not seen["problem"]:
            _act(page, plan, seen)
        if not watch.crashed:
            seen["screenshot"] = _screenshot(page, plan["load_timeout_s"])
            if seen["problem"] in ("", "action"):
                seen["facts"] = _facts(page, plan)
            page.wait_for_timeout(0)  # events that are on their way
            context.close()
    except Error as error:
        if not seen["problem"]:
            seen["problem"] = "timeout" if isinstance(error, TimeoutError) else "page"
            seen["detail"] = _cut(error.message)
    if watch is not None:
        seen |= {"errors": watch.errors, "exceptions": watch.exceptions, "requests": watch.requests}
    if (watch is not None and watch.crashed) or not browser.is_connected():
        seen["problem"], seen["detail"] = "crash", "the page brought the browser down"
    return seen


def _open(page: Page, plan: Plan, seen: dict[str, Any]) -> None:
    timeout = 1000 * plan["load_timeout_s"]
    try:
        response = page.goto(plan["url"], wait_until="load", timeout=timeout)
    except TimeoutError:
        seen["problem"], seen["detail"] = "timeout", f"not loaded within {plan['load_timeout_s']:g} s"
    except Error as error:
        seen["problem"], seen["detail"] = "not_loaded", _cut(error.message)
    else:
        if response is None or response.status >= 400:
            status = "no answer" if response is None else f"status {response.status}"
            seen["problem"], seen["detail"] = "not_loaded", f"{plan['path']}: {status}"


def _act(page: Page, plan: Plan, seen: dict[str, Any]) -> None:
    for number, action in enumerate(plan["actions"], 1):
        timeout = 1000 * action["timeout_s"]
        try:
            if action["click"] is not None:
                page.locator(action["click"]).first.click(timeout=timeout)
            elif action["fill"] is not None:
                page.locator(action["fill"]).first.fill(action["text"], timeout=timeout)
            elif action["press"] is not None and action["on"] is not None:
                page.locator(action["on"]).first.press(action["press"], timeout=timeout)
            elif action["press"] is not None:
                page.keyboard.press(action["press"])
            else:
                page.locator(action["wait_for"]).first.wait_for(state="visible", timeout=timeout)
        except Error as error:
            seen["problem"], seen["detail"] = "action", f"action {number}: {_cut(error.message)}"
            return


def _screenshot(page: Page, timeout_s: float) -> str:
    data = page.screenshot(animations="disabled", caret="hide", scale="css", timeout=1000 * timeout_s)
    return base64.b64encode(data).decode()


def _facts(page: Page, plan: Plan) -> dict[str, Any]:
    """Answers by the id of their query."""
    queries = plan["queries"]
    measured = [query for query in queries if query["what"] != "role"]
    facts = dict(zip((query["id"] for query in measured), _measure(page, measured), strict=True))
    for query in queries:
        if query["what"] == "role":
            try:
                found = page.get_by_role(query["role"], name=query["name"], exact=True)
                facts[query["id"]] = {"count": found.count()}
            except Error as error:
                facts[query["id"]] = {"error": _cut(error.message)}
    return facts


def _measure(page: Page, queries: list[Plan]) -> list[dict[str, Any]]:
    if not queries:
        return []
    session = page.context.new_cdp_session(page)
    frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "measure"})
    call = {
        "expression": f"({SOURCE})({json.dumps(queries)})",
        "contextId": world["executionContextId"],
        "returnByValue": True,
    }
    answer = session.send("Runtime.evaluate", call)
    if "exceptionDetails" in answer:
        raise Error(f"the page cannot be measured: {answer['exceptionDetails'].get('text', '')}")
    found: list[dict[str, Any]] = answer["result"]["value"]
    painted = [
        (query, fact)
        for query, fact in zip(queries, found, strict=True)
        if query["what"] in ("visible", "not_covered") and fact.get("count") and not fact["bad"]
    ]
    if painted:  # style says they are there; now pictures have to
        paint = Paint(page, session, frame, world["executionContextId"])
        for query, fact in painted:
            look = paint.unseen if query["what"] == "visible" else paint.covered
            try:
                fact["bad"] = look(query["selector"])
            except Error as error:
                fact["error"] = _cut(error.message)
    return found


def _keep(messages: list[str], text: str) -> None:
    if len(messages) < _KEPT:
        messages.append(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + " …"
