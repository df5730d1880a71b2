"""Which tests must appear in a report, read from the test files without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .python_source import parse_python

_MAX_FILES = 500
_MAX_BYTES = 1_000_000
_NOT_COLLECTED = {"build", "dist", "node_modules", "venv", "CVS", "_darcs", "{arch}", "__pycache__"}


@dataclass
class KnownTests:
    """Names in the form a JUnit report uses: "module.Class::test", without parameters."""

    required: set[str] = field(default_factory=set)
    may_skip: set[str] = field(default_factory=set)  #: marked skip or xfail in the file itself


def known_tests(directory: Path, paths: Sequence[str] = (".",)) -> KnownTests:
    """Tests that pytest's default rules collect below `paths` (relative to `directory`).

    Only what is certain: definitions at module or class level outside conditions. Links are not followed;
    files that do not parse, are very large or very many add nothing (pytest itself reports them).
    """
    known = KnownTests()
    for path in sorted(_files(directory, paths))[:_MAX_FILES]:
        try:
            if path.stat().st_size > _MAX_BYTES:
                continue
            tree = parse_python(path.read_bytes())
        except OSError:
            continue
        if tree is None:
            continue
        module = ".".join(PurePosixPath(path.relative_to(directory).as_posix()).with_suffix("").parts)
        _collect(tree.body, module, known, skips=_assigns(tree.body, "pytestmark", "skip", "xfail"))
    return known


def _files(directory: Path, paths: Sequence[str]) -> Iterator[Path]:
    for relative in paths:
        start = directory / relative
        if start.is_file() and not start.is_symlink():
            yield start
        elif start.is_dir() and not start.is_symlink():
            yield from _walk(start)


def _walk(directory: Path) -> Iterator[Path]:
    for entry in directory.iterdir():
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name not in _NOT_COLLECTED and not entry.name.startswith("."):
                yield from _walk(entry)
        elif entry.suffix == ".py" and (entry.name.startswith("test_") or entry.stem.endswith("_test")):
            yield entry


def _collect(body: Sequence[ast.stmt], owner: str, known: KnownTests, *, skips: bool) -> None:
    if _assigns(body, "__test__", "False"):
        return
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            marks = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            if "fixture" in marks or "property" in marks:
                continue
            name = f"{owner}::{node.name}"
            known.required.add(name)
            if skips or "skip" in marks or "xfail" in marks:
                known.may_skip.add(name)
        elif isinstance(node, ast.ClassDef) and _is_test_class(node):
            marks = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            marked = "skip" in marks or "xfail" in marks or _assigns(node.body, "pytestmark", "skip", "xfail")
            _collect(node.body, f"{owner}.{node.name}", known, skips=skips or marked)


def _is_test_class(node: ast.ClassDef) -> bool:
    methods = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
    unit = any(ast.unparse(base).endswith("TestCase") for base in node.bases)
    return unit or (node.name.startswith("Test") and not methods & {"__init__", "__new__"})


def _assigns(body: Sequence[ast.stmt], name: str, *words: str) -> bool:
    """Whether `name = ...` stands here with one of the words in its value."""
    for node in body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            value = ast.unparse(node.value)
            if any(word in value for word in words):
                return True
    return False
