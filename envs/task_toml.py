"""`task.toml`: typed access to its keys, with the file and line of whatever is wrong."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import TaskProblem

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")


@dataclass
class TomlFile:
    """A parsed file with the problems found in it so far."""

    path: Path
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[TaskProblem] = field(default_factory=list)

    @classmethod
    def parse(cls, path: Path, text: str) -> TomlFile:
        """Parse; a syntax error is a problem, and the data is empty then."""
        file = cls(path, text)
        try:
            file.data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = _AT_LINE.search(str(error))
            line = int(at[1]) if at else len(text.splitlines()) or 1
            file.problems.append(TaskProblem(path, line, f"is no TOML: {_AT_LINE.sub('', str(error))}"))
        except RecursionError:
            file.problems.append(TaskProblem(path, None, "is no TOML: nested too deeply"))
        return file

    def table(self, *keys: str) -> TomlTable:
        """The table at a path of keys; an absent one is empty."""
        data: Any = self.data
        for depth, key in enumerate(keys, 1):
            data = data.get(key, {})
            if not isinstance(data, dict):
                self.problem(keys[:depth], f"must be a table, not {_kind(data)}")
                data = {}
        return TomlTable(self, keys, data)

    def problem(self, keys: tuple[str, ...], message: str) -> None:
        """Report a key as wrong."""
        self.problems.append(TaskProblem(self.path, self.line_of(keys), f"{'.'.join(keys)} {message}"))

    def line_of(self, keys: tuple[str, ...], entry: int = 0) -> int | None:
        """The line on which a key is set, or the nearest table around it begins; of a list of tables the
        header of one `entry` (0-based)."""
        prefix: tuple[str, ...] = ()
        best: tuple[int, int] | None = None
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := _HEADER.match(line):
                prefix = path = _parts(header[1])
            elif key := _KEY.match(line):
                path = prefix + _parts(key[1])
            else:
                continue
            if path == keys and entry > 0 and best is not None and best[0] == len(keys):
                best, entry = (len(path), number), entry - 1
            elif path == keys[: len(path)] and (best is None or len(path) > best[0]):
                best = (len(path), number)
        return best[1] if best else None


@dataclass
class TomlTable:
    """One table. Each reader returns the default and reports the place when the value has another type."""

    file: TomlFile
    keys: tuple[str, ...]
    data: dict[str, Any]
    used: set[str] = field(default_factory=set)

    def string(self, key: str, default: str = "") -> str:
        """A string."""
        value = self._get(key, str, "a string", default)
        if "\0" in value:
            self.wrong(key, "holds a NUL character")
        return value if isinstance(value, str) else default

    def seconds(self, key: str) -> float | None:
        """A positive number of seconds; None when absent."""
        value = self._get(key, (int, float), "a number of seconds", None)
        if value is None:
            return None
        if not 0 < value < 1e9:
            self.wrong(key, f"must be a positive number of seconds, not {value}")
            return None
        return float(value)

    def strings(self, key: str) -> dict[str, str]:
        """A table of strings."""
        value: dict[str, Any] = self._get(key, dict, "a table of strings", {})
        for name, item in value.items():
            if not isinstance(item, str) or "\0" in name + item or "=" in name:
                self.file.problem(
                    (*self.keys, key, name), f'must be a string (NAME = "value"), not {_kind(item)}'
                )
        return {name: item for name, item in value.items() if isinstance(item, str)}

    def value(self, key: str, types: type | tuple[type, ...], kind: str) -> Any:
        """A value of other types, described by `kind`; None when absent."""
        return self._get(key, types, kind, None)

    def rest(self) -> dict[str, Any]:
        """The keys nobody asked for, to be kept as they are."""
        return {key: value for key, value in self.data.items() if key not in self.used}

    def no_others(self) -> None:
        """Report every key nobody asked for, with the nearest known one."""
        for key in self.rest():
            near = difflib.get_close_matches(key, self.used, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(self.used))}"
            self.wrong(key, f"is not a known key; {hint}")

    def wrong(self, key: str, message: str) -> None:
        """Report a key of this table as wrong."""
        self.file.problem((*self.keys, key), message)

    def _get(self, key: str, types: type | tuple[type, ...], kind: str, default: Any) -> Any:
        self.used.add(key)
        value = self.data.get(key, default)
        if key in self.data and (
            not isinstance(value, types) or (isinstance(value, bool) and types is not bool)
        ):
            self.wrong(key, f"must be {kind}, not {_kind(value)}")
            return default
        return value


def plain(value: Any) -> Any:
    """A TOML value as JSON could hold it (dates become strings)."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.split(r"\s*\.\s*", dotted))


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        str: "a string",
        int: "a number",
        float: "a number",
        dict: "a table",
        list: "a list",
    }
    return f"{names.get(type(value), type(value).__name__)} ({str(value)[:40]!r})"
