"""Mutants: one small change each, the same for the same seed."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from verifiers.mutants import choose, mutants_of

PYTHON = '''"""Text with 3 < 4."""
from dataclasses import dataclass


@dataclass
class Box:
    size: int = 3

    def fits(self, n: int) -> bool:
        if n <= 0 and not self.size:
            raise ValueError(f"{n} < {0}")
        return n + 1 < self.size
'''
C = """#include <stdio.h>
/* a < b */
int main(void) {
    int n = 10;
    printf("%d < 5\\n", n);
    return n < 5 && n != 3;
}
"""


def test_python_is_changed_at_its_operators_constants_and_statements() -> None:
    found = {mutant.what for mutant in mutants_of("box.py", PYTHON)}
    assert "`n <= 0` becomes `n < 0`" in found
    assert "`n + 1` becomes `n - 1`" in found
    assert "`n <= 0 and (not self.size)` becomes `n <= 0 or not self.size`" in found
    assert "3 becomes 4" in found
    assert "nothing is returned" in found
    assert any("is left out" in what and "raise" in what for what in found)


def test_every_python_mutant_is_a_different_program_with_one_changed_place() -> None:
    original = ast.dump(ast.parse(PYTHON))
    for mutant in mutants_of("box.py", PYTHON):
        assert ast.dump(ast.parse(mutant.after)) != original
        assert mutant.diff.count("\n+") == 2  # the header and one line
        assert mutant.after.splitlines()[0] == PYTHON.splitlines()[0]


def test_c_is_changed_outside_texts_and_comments() -> None:
    found = mutants_of("main.c", C)
    assert {"`<` becomes `<=`", "`&&` becomes `||`", "`!=` becomes `==`", "`10` becomes `11`"} <= {
        m.what for m in found
    }
    assert all("a < b" in m.after and ('%d < 5\\n"' in m.after or "left out" in m.what) for m in found)


def test_shell_and_make_are_changed_outside_comments() -> None:
    shell = mutants_of("run.sh", '#!/bin/bash\n# 1 -lt 2\nif [ "$1" -lt 2 ]; then exit 3; fi\n')
    assert {m.what for m in shell} == {"`-lt` becomes `-le`", "`2` becomes `3`", "`3` becomes `4`"}
    assert mutants_of("Makefile", "a: b | c\n")
    assert mutants_of("notes.txt", "1 < 2") == []


@given(seed=st.integers(), n=st.integers(0, 30))
def test_a_choice_is_bounded_repeatable_and_spread_over_lines(seed: int, n: int) -> None:
    every = mutants_of("box.py", PYTHON)
    chosen = choose(every, n, seed)
    assert len(chosen) == min(n, len(every))
    assert chosen == choose(list(reversed(every)), n, seed)
    lines = {mutant.line for mutant in every}
    assert len({mutant.line for mutant in chosen}) == min(n, len(lines))


def test_what_is_no_program_has_no_mutants() -> None:
    assert mutants_of("broken.py", "def (:\n") == []
    assert mutants_of("large.py", "x = 1\n" * 100_000) == []
