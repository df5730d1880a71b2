"""All edits that could be the repair, with their features: line suspicion times operators."""

from __future__ import annotations

import ast
import math
import threading
import warnings
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from . import hints, lines
from .calls import CALLS
from .conditions import CONDITIONS
from .expressions import EXPRESSIONS
from .source import Mutation, Source
from .spectrum import Spectrum
from .statements import STATEMENTS
from .weights import COLUMN, NAMES, Floats

Ints = NDArray[np.int64]

OPERATORS = (*EXPRESSIONS, *CONDITIONS, *CALLS, *STATEMENTS)
MAX_CANDIDATES = 4000
#: Families whose edits can be well-formed and yet no program (`break` outside a loop).
_COMPILED = frozenset(("jump", "dedent", "indent", "declare", "return", "swap", "delete"))
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Assert, ast.Raise, ast.Delete)
#: Suspicion of lines about which the tests say nothing.
UNKNOWN = 0.3


@dataclass(frozen=True)
class Pool:
    """Candidate edits and the part of their features that does not depend on what was tried."""

    paths: tuple[str, ...]
    edits: tuple[Mutation, ...]
    results: dict[tuple[str, str], int]  #: (path, digest of the file after the edit) -> candidate
    static: Floats  #: (candidates, features)
    line: Ints  #: (candidates,): the number of its line among all lines that have candidates
    group: Ints  #: (candidates,): the same of its line and family together

    def tried(self, results: Sequence[tuple[str, str]]) -> list[int]:
        """Which candidates lead to these (path, digest of the file) pairs."""
        return [self.results[result] for result in results if result in self.results]

    def features(self, tried: Sequence[int]) -> Floats:
        """All features, with those that count earlier tries filled in."""
        out = self.static.copy()
        if tried:
            for column, ids in (("tried_line", self.line), ("tried_group", self.group)):
                out[:, COLUMN[column]] = np.log1p(np.bincount(ids[list(tried)], minlength=len(ids)))[ids]
        return out


def digest(text: str) -> str:
    """A short name for a file's content."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


_cache: OrderedDict[str, Pool] = OrderedDict()
_lock = threading.Lock()


def pool(files: Mapping[str, str], spectrum: Spectrum, mentions: Sequence[tuple[str, int]] = ()) -> Pool:
    """The candidates for these files. Kept for the next call by the digest of everything they depend on."""
    key = digest(repr((sorted((p, digest(t)) for p, t in files.items()), spectrum, tuple(mentions))))
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    made = _build(files, spectrum, mentions)
    with _lock:
        _cache[key] = made
        while len(_cache) > 32:
            _cache.popitem(last=False)
    return made


def _build(files: Mapping[str, str], spectrum: Spectrum, mentions: Sequence[tuple[str, int]]) -> Pool:
    found: list[tuple[str, Mutation, float]] = []
    results: dict[tuple[str, str], int] = {}
    for path, text in files.items():
        suspicion = _suspicion(path, text, spectrum, mentions)
        for edit in _mutations(path, text, suspicion):
            result = (path, digest(text[: edit.start] + edit.new + text[edit.end :]))
            if result not in results and result[1] != digest(text) and len(found) < MAX_CANDIDATES:
                results[result] = len(found)
                found.append((path, edit, suspicion[edit.line]))
    return Pool(
        tuple(path for path, _, _ in found),
        tuple(edit for _, edit, _ in found),
        results,
        _static(found, spectrum, mentions),
        _numbered([(path, edit.line) for path, edit, _ in found]),
        _numbered([(path, edit.line, edit.op) for path, edit, _ in found]),
    )


def _numbered(keys: Sequence[Hashable]) -> Ints:
    """Each key's number, equal keys having the same."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _suspicion(
    path: str, text: str, spectrum: Spectrum, mentions: Sequence[tuple[str, int]]
) -> dict[int, float]:
    """Suspicion of each line worth changing. Multi-line statements share their most suspicious line's."""
    count = text.count("\n") + 1
    found = {line: spectrum.ochiai(path, line) for line in spectrum.lines.get(path, ())}
    if not any(found.values()):
        near = [line for p, line in mentions if p == path and line <= count]
        found = dict.fromkeys(near, UNKNOWN) or dict.fromkeys(range(1, count + 1), UNKNOWN)
        found |= {line + d: UNKNOWN / 2 for line in near for d in (-2, -1, 1, 2)}
        return found
    overall = (spectrum.failed / max(spectrum.failed + spectrum.passed, 1)) ** 0.5
    for line in spectrum.module.get(path, ()):
        found.setdefault(line, overall)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    for node in ast.walk(tree):
        head = (
            node if isinstance(node, ast.stmt) and not hasattr(node, "body") else getattr(node, "test", None)
        )
        if isinstance(head, ast.stmt | ast.expr) and head.end_lineno and head.end_lineno > head.lineno:
            span = range(head.lineno, head.end_lineno + 1)
            most = max((found.get(line, 0.0) for line in span), default=0.0)
            found.update(dict.fromkeys(span, most))
    return {line: value for line, value in found.items() if value > 0}


def _mutations(path: str, text: str, suspicion: Mapping[int, float]) -> list[Mutation]:
    """The well-formed mutations of suspicious lines."""
    if not path.endswith(".py"):
        return [m for m in lines.mutations(text) if m.line in suspicion]
    try:
        source = Source(text)
    except (SyntaxError, ValueError):
        return [m for m in lines.mutations(text) if m.line in suspicion]
    found: list[Mutation] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about literals in code that is not ours
        valid = _Validity(source)
        for node in ast.walk(source.tree):
            first = getattr(node, "lineno", None)
            last = getattr(node, "end_lineno", None)
            if first is None or last is None or not any(n in suspicion for n in range(first, last + 1)):
                continue
            for operator in OPERATORS:
                found += [m for m in operator(source, node) if m.line in suspicion and valid(m)]
    return found


class _Validity:
    """Whether a mutated file is still a program, told from as small a part of it as will do.

    An edit inside a statement without a body leaves the rest of the file as it is: that statement alone is
    parsed again. Of other edits it is the whole top-level statement.
    """

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.simple = sorted(source.span(node) for node in ast.walk(source.tree) if isinstance(node, _SIMPLE))
        self.starts: list[int] = []
        self.ends: list[int] = []
        for node in source.tree.body:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            self.starts.append(source.starts[first - 1])
            self.ends.append(source.starts[node.end_lineno or node.lineno])

    def __call__(self, m: Mutation) -> bool:
        start, end = (0, 0) if m.op in _COMPILED else self._statement(m)
        if start == end:
            start, end = self._top_level(m)
        code = self.text[start : m.start] + m.new + self.text[m.end : end]
        try:
            if m.op in _COMPILED:
                compile(code, "candidate", "exec", dont_inherit=True)
            else:
                ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True

    def _statement(self, m: Mutation) -> tuple[int, int]:
        """The statement without a body that an edit stays inside of, on one line of its own making."""
        at = bisect_right(self.simple, (m.start, len(self.text))) - 1
        if at >= 0 and self.simple[at][0] <= m.start and m.end <= self.simple[at][1] and "\n" not in m.new:
            return self.simple[at]
        return 0, 0

    def _top_level(self, m: Mutation) -> tuple[int, int]:
        at = bisect_right(self.starts, m.start) - 1
        if at >= 0 and m.end <= self.ends[at]:
            return self.starts[at], self.ends[at]
        return 0, len(self.text)


def _static(
    found: Sequence[tuple[str, Mutation, float]], spectrum: Spectrum, mentions: Sequence[tuple[str, int]]
) -> Floats:
    """The features of `weights.GENERAL` and the family's one-hot, for each candidate."""
    said = hints.read([(f.exc, f.message) for f in spectrum.failures])
    trace = {at for failure in spectrum.failures for at in failure.at} | set(mentions)
    tops = {failure.at[0] for failure in spectrum.failures if failure.at}
    per_line = Counter((path, edit.line) for path, edit, _ in found)
    per_group = Counter((path, edit.line, edit.op) for path, edit, _ in found)
    out = np.zeros((len(found), len(NAMES)))
    for row, (path, edit, suspicion) in zip(out, found, strict=True):
        place = (path, edit.line)
        ef, ep = spectrum.lines.get(path, {}).get(edit.line, (0, 0))
        distance = min((abs(line - edit.line) for p, line in tops if p == path), default=None)
        values = {
            "prior": edit.prior,
            "ochiai": suspicion,
            "only_failing": float(ef > 0 and ep == 0),
            "in_trace": float(place in trace),
            "top_frame": float(place in tops),
            "near_trace": 0.0 if distance is None else math.exp(-distance / 3),
            "module_level": float(ef == 0 and edit.line in spectrum.module.get(path, ())),
            "log_line": math.log(per_line[place]),
            "log_group": math.log(per_group[path, edit.line, edit.op]),
            "hint": said.families.get(edit.op, 0.0),
            "exact": float(bool(edit.target) and edit.target in said.names),
            "unused": float(edit.unused),
            "size": math.log1p(abs(len(edit.new) - (edit.end - edit.start)) + min(len(edit.new), 40) / 4),
            f"op:{edit.op}": 1.0,
        }
        for name, value in values.items():
            row[COLUMN[name]] = value
    return out
