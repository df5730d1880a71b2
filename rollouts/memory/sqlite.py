"""The default memory: one SQLite file with a full-text index (FTS5), shared by any number of processes.

A task is indexed once, whatever the number of branches remembered for it: its instruction is what a new
task is compared with, and repeated winners of one task must not crowd out the others.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import RunDirError, StorageRefused
from ..governance import Admitted, instruction_like
from .store import FLOOR, Memory
from .summary import MAX_DIFF, MAX_INSTRUCTION, key_steps, shorten
from .text import relevance, words

T = TypeVar("T")

VERSION = 1

#: How many of the query's rarest known terms select candidates, and how many candidates are scored.
QUERY_TERMS, CANDIDATES = 24, 64

_SCHEMA = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, task_digest TEXT NOT NULL, task_id TEXT NOT NULL,
    instruction TEXT NOT NULL, terms INTEGER NOT NULL, UNIQUE (namespace, task_digest)
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES tasks (id), namespace TEXT NOT NULL,
    run_id TEXT NOT NULL, rollout_id TEXT NOT NULL, branch_id TEXT NOT NULL, steps INTEGER NOT NULL,
    key_steps TEXT NOT NULL, diff TEXT NOT NULL, created REAL NOT NULL,
    UNIQUE (namespace, run_id, rollout_id, branch_id)
);
CREATE INDEX entries_by_task ON entries (task, steps);
-- Holds the terms that text.words gives, joined by spaces, so that both sides agree on what a word is.
CREATE VIRTUAL TABLE words USING fts5 (terms, tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
"""

_COLUMNS = """e.run_id, e.rollout_id, e.branch_id, t.task_id, t.task_digest, t.instruction, e.key_steps, e.diff,
    e.steps, e.namespace, e.created"""

_KNOWN = "SELECT 1 FROM entries WHERE namespace = ? AND run_id = ? AND rollout_id = ? AND branch_id = ?"


class SqliteMemory:
    """See `MemoryStore`. Raises `RunDirError` when the file is no memory, or the disk refuses."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise RunDirError(f"{path}: cannot be used as a memory ({error})") from None
        try:
            self._guard(self._prepare)
        except RunDirError:
            self._db.close()
            raise

    def add(self, admitted: Admitted, *, namespace: str = "default") -> bool:
        """See `MemoryStore.add`."""
        if not isinstance(admitted, Admitted):
            raise TypeError(f"memory takes what Gate.admit admitted, not {type(admitted).__name__}")
        record = admitted.record
        verdict = record.result.verdict
        if record.result.ending != "solved" or verdict is None or not verdict.passed:
            return False
        if admitted.split != "train":
            return False
        instruction = shorten(record.task.instruction, MAX_INSTRUCTION)
        steps, diff = (
            key_steps(record.trajectory, record.environment.base),
            shorten(record.result.diff, MAX_DIFF),
        )
        if any(map(instruction_like, (instruction, steps, diff))):
            return False
        lineage, terms = record.lineage, words(record.task.instruction)
        key = (namespace, lineage.run_id, lineage.rollout_id, lineage.branch_id)

        def write() -> bool:
            with self._begun():
                return insert()

        def insert() -> bool:
            if self._db.execute(_KNOWN, key).fetchone():
                return False
            task = self._task(namespace, record.task.digest, record.task.task_id, instruction, terms)
            self._db.execute(
                "INSERT INTO entries (namespace, run_id, rollout_id, branch_id, task, steps, key_steps, diff, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, task, len(record.trajectory.steps), steps, diff, time.time()),
            )
            return True

        return self._guard(write)

    def retrieve(
        self,
        task_text: str,
        k: int = 3,
        *,
        namespace: str = "default",
        exclude_task: str | Sequence[str] | None = None,
        exclude_run: str | None = None,
        floor: float = FLOOR,
    ) -> list[Memory]:
        """See `MemoryStore.retrieve`. Of a task's entries the one with the fewest steps is taken."""
        query = Counter(words(task_text))
        excluded = [exclude_task] if isinstance(exclude_task, str) else list(exclude_task or ())
        if not query or k < 1:
            return []

        def read() -> list[Memory]:
            count, total = self._db.execute("SELECT count(*), coalesce(sum(terms), 0) FROM tasks").fetchone()
            known = self._frequencies(list(query))
            idf = {t: math.log1p((count - n + 0.5) / (n + 0.5)) for t in query for n in [known.get(t, 0)]}
            scored = [
                (relevance(query, Counter(terms.split()), idf, total / count), task)
                for task, terms in self._candidates(known, count, namespace, excluded)
            ]
            found: list[Memory] = []
            for score, task in sorted(scored, key=lambda pair: (-pair[0], pair[1])):
                if score < floor or score == 0.0 or len(found) == k:
                    break
                if best := self._best(task, exclude_run, score):
                    found.append(best)
            return found

        return self._guard(read)

    def recent(self, k: int = 10, *, namespace: str = "default") -> list[Memory]:
        """See `MemoryStore.recent`."""
        sql = f"SELECT {_COLUMNS} FROM entries e JOIN tasks t ON t.id = e.task WHERE e.namespace = ? ORDER BY e.id DESC LIMIT ?"
        return self._guard(lambda: [_memory(row) for row in self._db.execute(sql, (namespace, k))])

    def count(self, *, namespace: str = "default") -> int:
        """See `MemoryStore.count`."""
        sql = "SELECT count(*) FROM entries WHERE namespace = ?"
        return self._guard(lambda: int(self._db.execute(sql, (namespace,)).fetchone()[0]))

    def close(self) -> None:
        """Idempotent."""
        self._db.close()

    def _prepare(self) -> None:
        run = self._db.execute
        run("PRAGMA busy_timeout = 30000")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        with self._begun():
            version = run("PRAGMA user_version").fetchone()[0]
            tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if version == 0 and tables == 0:
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        run(statement)
                run(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise RunDirError(
                    f"{self.path}: is no memory of this version; move it away or set memory.path"
                )

    def _task(self, namespace: str, digest: str, task_id: str, instruction: str, terms: list[str]) -> int:
        """The row of a task, made and indexed when it is new."""
        found = self._db.execute(
            "SELECT id FROM tasks WHERE namespace = ? AND task_digest = ?", (namespace, digest)
        ).fetchone()
        if found:
            return int(found[0])
        made = self._db.execute(
            "INSERT INTO tasks (namespace, task_digest, task_id, instruction, terms) VALUES (?, ?, ?, ?, ?)",
            (namespace, digest, task_id, instruction, len(terms)),
        ).lastrowid
        assert made is not None  # an INSERT gives a row id
        self._db.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (made, " ".join(terms)))
        return made

    def _frequencies(self, terms: list[str]) -> dict[str, int]:
        """In how many tasks each term occurs; terms that occur nowhere are not in it."""
        known: dict[str, int] = {}
        for start in range(0, len(terms), 500):
            part = terms[start : start + 500]
            marks = ", ".join("?" * len(part))
            known |= dict(self._db.execute(f"SELECT term, doc FROM vocabulary WHERE term IN ({marks})", part))
        return known

    def _candidates(
        self, known: dict[str, int], count: int, namespace: str, excluded: list[str]
    ) -> list[tuple[int, str]]:
        """Tasks that share some of the query's rarest words, by FTS5's own rank.

        Words that over a tenth of the tasks have select nothing while there are rarer ones: going through
        all tasks for them would be the whole cost of a search. Every term is quoted, so that nothing in the
        text can act as query syntax.
        """
        rarest = sorted(known, key=lambda term: (known[term], term))
        telling = [term for term in rarest if known[term] <= max(50, count // 10)] or rarest
        if not telling:
            return []
        match = " OR ".join('"' + term.replace('"', '""') + '"' for term in telling[:QUERY_TERMS])
        marks = ", ".join("?" * len(excluded))
        return self._db.execute(
            "SELECT t.id, words.terms FROM words JOIN tasks t ON t.id = words.rowid WHERE words MATCH ? "
            f"AND t.namespace = ? AND t.task_digest NOT IN ({marks}) AND t.task_id NOT IN ({marks}) "
            "ORDER BY words.rank LIMIT ?",
            (match, namespace, *excluded, *excluded, CANDIDATES),
        ).fetchall()

    def _best(self, task: int, exclude_run: str | None, score: float) -> Memory | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM entries e JOIN tasks t ON t.id = e.task WHERE e.task = ? "
            "AND e.run_id IS NOT ? ORDER BY e.steps, e.id LIMIT 1",
            (task, exclude_run),
        ).fetchone()
        return _memory(row, score) if row else None

    @contextmanager
    def _begun(self) -> Iterator[None]:
        """A transaction that has the write lock from its start, so that it never has to be tried again."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _guard(self, work: Callable[[], T]) -> T:
        """One user of the connection at a time, and SQLite's errors as ours."""
        with self._mutex:
            try:
                return work()
            except sqlite3.Error as error:
                raise StorageRefused(f"{self.path}: memory failed ({error})") from None


def _memory(row: Sequence[Any], score: float | None = None) -> Memory:
    run_id, rollout_id, branch_id, *rest = row
    task_id, digest, instruction, steps_text, diff, steps, namespace, created = rest
    return Memory(
        id=f"{run_id}/{rollout_id}/{branch_id}",
        run_id=run_id,
        rollout_id=rollout_id,
        branch_id=branch_id,
        task_id=task_id,
        task_digest=digest,
        instruction=instruction,
        key_steps=steps_text,
        diff=diff,
        steps=steps,
        namespace=namespace,
        created=created,
        relevance=score,
    )
