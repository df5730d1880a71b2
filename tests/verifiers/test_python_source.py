"""Python source is read from many threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from verifiers.python_source import parse_python


def test_threads_that_parse_at_once_all_get_their_tree() -> None:
    deep = "x = " + "[" * 60 + "]" * 60 + "\n"
    sources = ["def f(a):\n    return [a, (a, {a: [1, 2, 3]})]\n" * 200, deep * 100] * 20
    with ThreadPoolExecutor(8) as pool:
        assert all(tree is not None for tree in pool.map(parse_python, sources))


def test_what_is_no_python_has_no_tree() -> None:
    for source in ("def (", b"\xff\xfe\x00", "x = '\0'", "x = " + "(" * 5000 + ")" * 5000):
        assert parse_python(source) is None
