"""Results files for the tests of `rollouts audit claim`: plain, lm-evaluation-harness, inspect."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

LONG = "word " * 60


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def lm_eval_row(doc: int, right: float, filter_: str = "strict-match", **more: Any) -> dict[str, Any]:
    """A line of lm-evaluation-harness 0.4.13 (`--log_samples`), generated text."""
    return {
        "doc_id": doc,
        "doc": {"question": f"{doc} + {doc}?", "answer": f"so #### {2 * doc}"},
        "target": f"so #### {2 * doc}",
        "arguments": {
            "gen_args_0": {"arg_0": f"{doc} + {doc}?", "arg_1": {"until": ["Question:"], "max_gen_toks": 256}}
        },
        "resps": [[f"It is #### {2 * doc}"]],
        "filtered_resps": [str(2 * doc)],
        "filter": filter_,
        "metrics": ["exact_match"],
        "doc_hash": f"hash-{doc}",
        "exact_match": right,
        **more,
    }


def inspect_sample(name: str, value: Any, stop: str = "stop", epoch: int = 1, **more: Any) -> dict[str, Any]:
    """A sample of an inspect log, version 2."""
    choice = {"message": {"role": "assistant", "content": "#### 1"}, "stop_reason": stop}
    return {
        "id": name,
        "epoch": epoch,
        "input": "?",
        "target": "1",
        "output": {"model": "m", "choices": [choice], "completion": "#### 1", "usage": {"output_tokens": 5}},
        "scores": {"match": {"value": value, "answer": "1", "history": []}},
        **more,
    }


def inspect_log(samples: list[dict[str, Any]]) -> dict[str, Any]:
    plan = {"name": "plan", "steps": [], "config": {"max_tokens": 300}}
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "t", "model": "m"},
        "plan": plan,
        "samples": samples,
    }


def write_eval(path: Path, samples: list[dict[str, Any]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A `.eval` file; method 93 packs the members with Zstandard, as inspect does today."""
    log = inspect_log([])
    members = {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in samples} | {"header.json": log}
    pack_into(path, {name: json.dumps(content).encode() for name, content in members.items()}, method)
    return path


def pack_into(path: Path, members: dict[str, bytes], method: int) -> None:
    zstandard = method == 93
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if zstandard else method) as archive:
        for name, content in members.items():
            archive.writestr(name, pa.compress(content, "zstd", asbytes=True) if zstandard else content)
    if zstandard:
        _say_zstandard(path)


def _say_zstandard(path: Path) -> None:
    """Put method 93 into every header: Python before 3.14 cannot write it."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.find(signature)
        while at >= 0:
            struct.pack_into("<H", content, at + offset, 93)
            at = content.find(signature, at + 4)
    path.write_bytes(content)
