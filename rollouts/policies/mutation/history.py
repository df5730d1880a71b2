"""Where the repair stands, read from the conversation alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from envs.trajectory import Message, ToolCall

from . import outcome, spectrum
from .candidates import digest
from .outcome import Outcome
from .spectrum import MARK, Spectrum

SLICE = 100  #: lines per ranged read of a file that is too long to be shown whole
SLICES = 4  #: ranged reads per turn
MAX_LINES = 1600  #: longer files are left alone

_GAP = re.compile(r"^\[\.\.\. [\d,]+ bytes, [\d,]+ line ends left out; sha256:[0-9a-f]{16} \.\.\.\]$", re.M)


@dataclass(frozen=True)
class Start:
    """A state of the files that edits can start from, and what is known of its failures."""

    files: dict[str, str]
    spectrum: Spectrum | None
    tests: str  #: output of its test run


@dataclass
class State:
    """What is known after the messages so far. `base` is the best state; `current` may hold a trial edit."""

    best: Outcome | None = None  #: of the base
    located: bool = False  #: the localisation ran for this base
    spectrum: Spectrum | None = None
    base: dict[str, str] = field(default_factory=dict)
    origin: Start | None = None  #: where the work began, once an edit was kept
    current: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    slices: dict[str, dict[int, tuple[int, str]]] = field(default_factory=dict)
    tried: dict[tuple[str, str], None] = field(default_factory=dict)  #: (path, digest of the file), in order
    tests: str = ""  #: output of the last test run of the base
    tries: int = 0  #: test runs of trial edits
    kept: int = 0  #: trial edits that were kept
    refused: int = 0  #: edits that the tool refused

    @property
    def dirty(self) -> list[str]:
        """Files that differ from the base."""
        return [path for path, text in self.current.items() if self.base.get(path) != text]

    @property
    def tested(self) -> bool:
        """Whether the current files have been tested."""
        dirty = self.dirty
        return not dirty or all((path, digest(self.current[path])) in self.tried for path in dirty)

    def starts(self) -> list[Start]:
        """Where the next edit may start from: the best state, and the one the work began with, because an
        edit that made some tests pass need not be on the way to the repair."""
        best = Start(self.base, self.spectrum, self.tests)
        if self.origin is None:
            return [best]
        return [best, Start({**self.base, **self.origin.files}, self.origin.spectrum, self.origin.tests)]

    def missing(self, path: str) -> int | None:
        """The first line (from 1) of a long file that has not been read; None: it need not be read on."""
        if path in self.current or path in self.unreadable:
            return None
        at = 1
        for start, (limit, _) in sorted(self.slices.get(path, {}).items()):
            if start == at:
                at = start + limit
        return at

    def forget(self) -> None:
        """Somebody else changed things: what was known of files and tests no longer holds."""
        self.best, self.located, self.spectrum = None, False, None
        self.base, self.current, self.slices, self.origin = {}, {}, {}, None


def replay(messages: Sequence[Message]) -> State:
    """Go through the calls that were answered, in order."""
    state = State()
    open_calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "assistant":
            open_calls = {call.id: call for call in message.tool_calls}
        elif message.role == "tool" and message.tool_call_id in open_calls:
            call = open_calls.pop(message.tool_call_id)
            _take(state, call.name, call.arguments or {}, message.content)
    return state


def fingerprint(messages: Sequence[Message]) -> str:
    """A digest of what was said and done. Durations and the like in results do not enter it, so that equal
    seeds go the same way again; of results only the tests' counts count."""
    open_calls: dict[str, str] = {}
    parts: list[Any] = []
    for message in messages:
        if message.role == "assistant":
            open_calls = {call.id: call.name for call in message.tool_calls}
            for call in message.tool_calls:
                arguments = {k: v for k, v in (call.arguments or {}).items() if k != "timeout_s"}
                parts.append([call.name, arguments])
        elif message.role == "tool":
            if open_calls.get(message.tool_call_id or "") == "run_tests":
                parts.append(outcome.parse(message.content).failing)
        else:
            parts.append([message.role, message.content])
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _take(state: State, tool: str, arguments: dict[str, Any], text: str) -> None:
    """Account for one call and its result."""
    path = str(arguments.get("path", ""))
    wrong = text.startswith("error:")
    if tool == "run_tests":
        _tests(state, outcome.parse(text), text)
    elif tool == "bash" and MARK in str(arguments.get("command", "")):
        state.located, state.spectrum = True, spectrum.parse(text)
        found = state.spectrum
        if found and found.failed and state.best and state.best.failing is None:
            state.best = Outcome(found.failed, found.passed, state.best.files)
    elif tool == "bash" or (tool == "write_file" and not wrong):
        state.forget()
    elif tool == "read_file":
        _read(state, path, arguments, text, wrong)
    elif tool == "edit_file":
        old, new, before = (
            str(arguments.get("old", "")),
            str(arguments.get("new", "")),
            state.current.get(path),
        )
        if wrong:
            state.refused += 1
            state.forget()
        elif before is None or before.count(old) != 1:
            state.forget()
        else:
            state.current[path] = before.replace(old, new)


def _tests(state: State, result: Outcome, text: str) -> None:
    dirty = state.dirty
    if state.best is None or not dirty:
        if state.best is None or state.best.failing is None or result.failing is not None:
            state.best, state.tests = result, text
        state.base = dict(state.current)
        return
    state.tries += 1
    state.tried.update({(path, digest(state.current[path])): None for path in dirty})
    if result.better_than(state.best):
        state.origin = state.origin or Start(dict(state.base), state.spectrum, state.tests)
        state.best, state.tests = result, text
        state.base = dict(state.current)
        state.located, state.spectrum = False, None
        state.kept += 1


def _read(state: State, path: str, arguments: dict[str, Any], text: str, wrong: bool) -> None:
    start, limit = arguments.get("offset"), arguments.get("limit")
    parts = state.slices.setdefault(path, {})
    if isinstance(start, int) and isinstance(limit, int):
        if wrong and not parts:
            state.unreadable.add(path)
        elif _GAP.search(text):
            state.unreadable.add(path)  # lines too long to be shown
        elif wrong or text.count("\n") + (not text.endswith("\n")) < limit:
            whole = "".join(parts[at][1] for at in sorted(parts)) + ("" if wrong else text)
            _known(state, path, whole)
        else:
            parts[start] = (limit, text)
            if start + limit > MAX_LINES:
                state.unreadable.add(path)
    elif wrong or "\ufffd" in text:
        state.unreadable.add(path)
    elif not _GAP.search(text):
        _known(state, path, text)


def _known(state: State, path: str, text: str) -> None:
    if path not in state.current:
        state.base[path] = state.current[path] = text
