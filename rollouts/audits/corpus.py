"""What an audit of contamination reads: JSON, Parquet and text files, tasks, runs and exports, as items of texts.

Everything read is untrusted: sizes are bounded, links inside directories are not followed, nothing that stands in a
file is taken for a path. What cannot be read is counted and told with its place; the rest goes on.

Of evaluation items the frame is left out, which they share with everything made by the same tools: system prompts,
tool results and tool schemas. Training items are read in full.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs import TaskError, load_tasks
from envs.task_dir import is_task_dir
from envs.trajectory import Message

from ..errors import ConfigError
from ..governance.contamination import Item, Passage, printable
from ..records import BranchRecord
from ..store import RunStore
from .strict_json import parse, reason

#: Bytes of one line of JSON, of one JSON file, and of one text file.
MAX_LINE, MAX_JSON, MAX_TEXT = 16 << 20, 64 << 20, 8 << 20
#: Of a task: files of its tests or its solution, and bytes of each.
MAX_FILES, MAX_FILE = 500, 1 << 20
#: Characters of all texts of one item: comparing takes about 100 bytes for each.
MAX_ITEM = 8_000_000
MAX_DEPTH = 32
MAX_TOLD = 20

#: What names an item and says nothing.
_IDS = ("id", "task_id", "doc_id", "instance_id", "question_id", "sample_id", "uid", "uuid")
_NO_TEXT = frozenset(
    (*_IDS, "schema_version", "digest", "run_id", "rollout_id", "branch_id", "tool_call_id", "role")
)
#: Strings that are JSON themselves.
_NESTED = ("arguments", "payload")
#: Where a JSON file that is an object keeps its items.
_LISTS = ("data", "items", "examples", "rows", "samples", "instances", "questions")
_FRAME_ROLES = ("system", "developer", "tool", "function")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zX": "xz",
}
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".md")


@dataclass
class Unread:
    """What could not be read: how much, and the first few places."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def note(self, at: str, reason: str) -> None:
        """Count a place."""
        self.count += 1
        if len(self.told) < MAX_TOLD:
            self.told.append(printable(f"{at}: {reason}", 300))


def read_corpus(
    sources: Sequence[str], unread: Unread, *, evaluation: bool, fields: Collection[str] = ()
) -> Iterator[Item]:
    """The items of files and directories, one in memory at a time. Raises `ConfigError` for a path that is none.

    `fields` keeps only texts under one of these names. An item without any text is noted as unread.
    """
    for source in sources:  # before anything is read: a wrong path is a wrong call
        if not _is_suite(source) and not Path(source).exists():
            raise ConfigError(f"{source}: there is no such file or directory")
    for source in sources:
        before, item = unread.count, None
        for item in _read(source, unread, evaluation):
            texts = tuple(p for p in item.passages if p.text.strip() and _wanted(p.field, fields))
            if sum(len(passage.text) for passage in texts) > MAX_ITEM:
                unread.note(item.at, f"more than {MAX_ITEM} characters in one item; cut it")
            elif texts:
                yield Item(printable(item.id), item.at, texts)
            else:
                unread.note(item.at, _no_text(item, fields))
        if item is None and unread.count == before:
            unread.note(source, "holds no item: is it the right file?")


def _no_text(item: Item, fields: Collection[str]) -> str:
    if fields and item.passages:
        has = ", ".join(sorted({passage.field for passage in item.passages})[:8])
        return f"no text under {', '.join(sorted(fields))}; it has {has}: choose with --field"
    return "no text: give items with a field of text, as question, text or messages"


def _wanted(name: str, fields: Collection[str]) -> bool:
    keys = {key.split("[")[0] for key in name.split(".")}
    return not fields or name in fields or not keys.isdisjoint(fields)


def _is_suite(source: str) -> bool:
    return source == "suite" or source.startswith("suite:")


def _read(source: str, unread: Unread, evaluation: bool) -> Iterator[Item]:
    path = Path(source)
    if _is_suite(source) and not path.exists():
        yield from _tasks(source, unread, evaluation)
    elif not path.is_dir():
        yield from _file(path, unread, evaluation)
    elif (kind := _kind(path)) == "rollout-fork/run":
        yield from _run(path, unread, evaluation)
    elif kind == "rollout-fork/export":
        # The formats of an export hold the same rows.
        yield from _files([*path.glob("*.jsonl")] or [*path.glob("*.parquet")], path, unread, evaluation)
    elif is_task_dir(path) or any(is_task_dir(below) for below in path.iterdir() if below.is_dir()):
        yield from _tasks(source, unread, evaluation)
    else:
        below = [Path(root, name) for root, _, names in os.walk(path) for name in names]
        yield from _files([p for p in below if p.suffix in _SUFFIXES], path, unread, evaluation)


def _kind(path: Path) -> str:
    try:
        with (path / "manifest.json").open("rb") as file:
            manifest = json.loads(file.read(MAX_LINE))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(manifest.get("kind", "")) if isinstance(manifest, dict) else ""


# Files


def _files(paths: Iterable[Path], root: Path, unread: Unread, evaluation: bool) -> Iterator[Item]:
    found = [path for path in sorted(paths) if path.is_file() and not path.is_symlink()]
    if not found:
        raise ConfigError(f"{root}: holds no file to read ({', '.join(_SUFFIXES)}), no tasks, and is no run")
    for path in found:
        yield from _file(path, unread, evaluation)


def _file(path: Path, unread: Unread, evaluation: bool) -> Iterator[Item]:
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_file, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    try:
        if packed := _packed(path):
            unread.note(str(path), f"packed with {packed}; unpack it first")
            return
        if reader is None:
            if text := _text(path, MAX_TEXT, unread):
                yield Item(path.name, str(path), (Passage("text", text),))
        else:
            for at, row in reader(path, unread):
                yield _item(row, at, evaluation)
    except OSError as error:
        unread.note(str(path), f"cannot be read ({error.strerror or error})")


def _packed(path: Path) -> str | None:
    """The name of the format a packed file is in."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def _json_lines(path: Path, unread: Unread) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number, at = number + 1, f"{path}:{number + 1}"
            if len(line) > MAX_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE)
                unread.note(at, f"longer than {MAX_LINE} bytes")
            elif line.strip():
                try:
                    yield at, parse(line)
                except (ValueError, RecursionError) as error:
                    unread.note(at, f"no JSON that can be read ({reason(error)})")


def _json_file(path: Path, unread: Unread) -> Iterator[tuple[str, Any]]:
    if path.stat().st_size > MAX_JSON:
        unread.note(str(path), f"larger than {MAX_JSON} bytes; write it as JSON lines")
        return
    try:
        data = parse(path.read_bytes())
    except (ValueError, RecursionError) as error:
        unread.note(str(path), f"no JSON that can be read ({reason(error)})")
        return
    if isinstance(data, dict):
        data = next((data[key] for key in _LISTS if isinstance(data.get(key), list)), [data])
    for number, row in enumerate(data if isinstance(data, list) else [data]):
        yield f"{path}[{number}]", row


def _parquet(path: Path, unread: Unread) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}:{number}", row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        unread.note(f"{path}:{number + 1}", f"no Parquet that can be read ({error}); write the file again")


def _text(path: Path, most: int, unread: Unread) -> str:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        unread.note(str(path), f"larger than {most} bytes; cut it, or write it as JSON lines")
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        unread.note(str(path), "no text in UTF-8; convert it, as with iconv, or leave it out")
        return ""


def _item(row: Any, at: str, evaluation: bool) -> Item:
    named = [row[key] for key in _IDS if isinstance(row.get(key), str | int)] if isinstance(row, dict) else []
    name = next((str(name)[:200] for name in named if name != ""), Path(at).name)
    return Item(name, at, tuple(_strings(row, "", "", evaluation, MAX_DEPTH)))


def _strings(value: Any, name: str, key: str, evaluation: bool, depth: int) -> Iterator[Passage]:
    """Every text in plain data, with the path of its field."""
    if isinstance(value, str):
        nested = _parsed(value) if key in _NESTED and depth else None
        if nested is not None:
            yield from _strings(nested, name, "", evaluation, depth - 1)
        elif not (value.startswith("data:") and ";base64," in value[:100]):
            yield Passage(name or "text", value)
    elif isinstance(value, list | tuple) and depth:
        for number, inner in enumerate(value):
            yield from _strings(inner, f"{name}[{number}]", key, evaluation, depth - 1)
    elif isinstance(value, dict) and depth and not (evaluation and value.get("role") in _FRAME_ROLES):
        for inner_key, inner in value.items():
            if inner_key not in _NO_TEXT and not (evaluation and inner_key == "tools"):
                short = printable(str(inner_key), 80)
                yield from _strings(inner, f"{name}.{short}" if name else short, short, evaluation, depth - 1)


def _parsed(text: str) -> Any:
    """The object or list a string spells; None for any other string."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return parse(text)  # with a key twice it stays a string: neither value is lost
    except (ValueError, RecursionError):
        return None


# Tasks and runs


def _tasks(source: str, unread: Unread, evaluation: bool) -> Iterator[Item]:
    try:
        found = load_tasks(source)
    except TaskError as error:
        raise ConfigError(str(error)) from None
    for problem in found.problems:
        unread.note(str(problem.path), problem.message)
    for task in found:
        passages = [Passage("instruction", task.instruction)]
        if evaluation:
            tests = task.tests.directory if task.tests is not None else None
            passages += _texts_below(tests, "tests", unread) + _texts_below(task.solution, "solution", unread)
        yield Item(task.id, str(task.path or source), tuple(passages))


def _texts_below(directory: Path | None, name: str, unread: Unread) -> list[Passage]:
    if directory is None:
        return []
    files = sorted(Path(root, file) for root, _, names in os.walk(directory) for file in names)
    if len(files) > MAX_FILES:
        unread.note(str(directory), f"{len(files)} files; the first {MAX_FILES} were read")
    passages = []
    for path in files[:MAX_FILES]:
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = "" if _is_binary(path) else _text(path, MAX_FILE, unread)
        except OSError as error:
            unread.note(str(path), f"cannot be read ({error.strerror or error})")
            continue
        if text:
            passages.append(Passage(f"{name}/{printable(str(path.relative_to(directory)))}", text))
    return passages


def _is_binary(path: Path) -> bool:
    """A picture, say: there is no text in it."""
    with path.open("rb") as file:
        return b"\0" in file.read(1024)


def _run(path: Path, unread: Unread, evaluation: bool) -> Iterator[Item]:
    """Of a run under audit each branch is an item; of a run that is the evaluation, each rollout."""
    with RunStore.open(path) as store:
        if evaluation:
            for rollout in store.rollouts():
                texts: dict[str, Passage] = {}  # siblings share most of theirs
                for passage in (passage for record in rollout for passage in _evaluated(record)):
                    texts.setdefault(passage.text, passage)
                yield Item(rollout[0].lineage.rollout_id, str(path), tuple(texts.values()))
        else:
            for record in store.branches():
                yield Item("/".join(record.key), str(path), tuple(_learned(record)))
        for problem in store.problems:
            unread.note(f"{problem.path}:{problem.line}", problem.reason)


def _evaluated(record: BranchRecord) -> Iterator[Passage]:
    """What was asked, and what solved it."""
    yield Passage("instruction", record.task.instruction)
    for number, message in enumerate(record.trajectory.messages):
        if message.role == "user":
            yield Passage(f"message {number}", message.content)
    if record.result.ending == "solved":
        yield Passage("answer", record.trajectory.answer or "")
        yield Passage("diff", record.result.diff)


def _learned(record: BranchRecord) -> Iterator[Passage]:
    """Everything a policy could learn from."""
    yield Passage("instruction", record.task.instruction)
    for number, message in enumerate(record.trajectory.messages):
        yield from _message(number, message)
    yield Passage("answer", record.trajectory.answer or "")
    yield Passage("diff", record.result.diff)


def _message(number: int, message: Message) -> Iterator[Passage]:
    names = {"tool": "tool result", "system": "system prompt"}
    yield Passage(f"{names.get(message.role, 'message')} {number}", message.content)
    for call in message.tool_calls:
        for passage in _strings(call.arguments or call.raw, "", "", False, MAX_DEPTH):
            yield Passage(f"message {number}: {call.name} {passage.field}", passage.text)
