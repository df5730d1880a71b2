"""A run on disk: append-only, resumable, streaming. Start with `run_store.py`."""

from .index import Entry
from .jsonl import Appender, Problem, Problems, dump_json, without_surrogates, write_atomically
from .run_store import BranchWriter, RunStore, code_version

__all__ = [
    "Appender",
    "BranchWriter",
    "Entry",
    "Problem",
    "Problems",
    "RunStore",
    "code_version",
    "dump_json",
    "without_surrogates",
    "write_atomically",
]
