"""The objects of a JSON document or of JSON lines, each with its place; bounded, and one clear error a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .claim_items import IDS, first
from .strict_json import DuplicateKey, parse, reason

MOST_LINE_BYTES = 64 << 20
MOST_DOCUMENT_BYTES = 512 << 20
LISTS = ("results", "items", "samples")

Row = tuple[str, dict[str, Any]]


def rows(path: Path) -> tuple[dict[str, Any], Iterator[Row]]:
    """(what stands around the list of items, the items each with its place)."""
    with path.open("rb") as file:
        line = b"\n"
        while line and not line.strip().removeprefix(b"\xef\xbb\xbf"):
            line = file.readline(MOST_LINE_BYTES + 1)
    try:
        head = json.loads(line.decode("utf-8-sig")) if len(line) <= MOST_LINE_BYTES else None
    except (ValueError, RecursionError):
        head = None
    if isinstance(head, dict) and not _is_document(head):
        return {}, _lines(path)
    if not line:
        return {}, iter(())
    document = _document(path)
    if isinstance(document, list):
        return {}, _listed(path, document)
    if not isinstance(document, dict):
        raise ConfigError(
            f"{path}: not a list of items: expected a JSON list, an object with results, or JSON lines"
        )
    if is_inspect(document):
        return document, iter(())
    for name in LISTS:
        if isinstance(document.get(name), list):
            header = {key: each for key, each in document.items() if key != name}
            return header, _listed(path, document[name])
    if isinstance(document.get("results"), dict):
        raise ConfigError(
            f"{path}: aggregated results, without items; lm-evaluation-harness writes items with --log_samples"
        )
    if first(document, IDS) is not None:
        return {}, _listed(path, [document])
    raise ConfigError(f"{path}: no list of items in it: expected one of {', '.join(LISTS)}")


def _is_document(head: dict[str, Any]) -> bool:
    """An object that holds the items, on one line, rather than being the first of them."""
    if first(head, IDS) is not None:
        return False
    return any(isinstance(head.get(name), list | dict) for name in LISTS) or is_inspect(head)


def _document(path: Path) -> Any:
    if path.stat().st_size > MOST_DOCUMENT_BYTES:
        raise ConfigError(f"{path}: larger than {MOST_DOCUMENT_BYTES >> 20} MiB; write it as JSON lines")
    try:
        return parse(path.read_bytes().decode("utf-8-sig"))
    except DuplicateKey as error:
        raise ConfigError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: neither JSON nor JSON lines ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: no JSON that can be read ({type(error).__name__})") from None


def _lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MOST_LINE_BYTES:
                raise ConfigError(f"{where}: longer than {MOST_LINE_BYTES >> 20} MiB")
            if not line.strip():
                continue
            try:
                row = parse(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{where}: not a line of JSON that can be read ({reason(error)})") from None
            if not isinstance(row, dict):
                raise ConfigError(f"{where}: not an object but {type(row).__name__}")
            yield where, row


def _listed(path: Path, rows: list[Any]) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        where = f"{path}: item {number}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: not an object but {type(row).__name__}")
        yield where, row


def is_inspect(header: Mapping[str, Any]) -> bool:
    """Whether an object is the outer one of an inspect log."""
    return isinstance(header.get("eval"), dict) and "version" in header
