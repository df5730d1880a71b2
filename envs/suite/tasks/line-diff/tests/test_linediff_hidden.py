import itertools
import random

import pytest

from linediff import PatchError, apply, diff, hunks, summary


def common(a, b):
    best = [0] * (len(b) + 1)
    for x in a:
        previous = 0
        for j, y in enumerate(b, start=1):
            previous, best[j] = best[j], previous + 1 if x == y else max(best[j], best[j - 1])
    return best[-1]


PAIRS = []
for seed in range(25):
    rng = random.Random(seed)
    PAIRS.append(([rng.choice("abcd") for _ in range(rng.randrange(14))], [rng.choice("abcd") for _ in range(rng.randrange(14))]))


def test_scripts_are_shortest():
    for old, new in PAIRS:
        shared = common(old, new)
        assert summary(diff(old, new)) == (len(old) - shared, len(new) - shared), (old, new)


def test_scripts_reproduce_both_sides():
    for old, new in PAIRS:
        ops = diff(old, new)
        assert [line for sign, line in ops if sign != "+"] == old
        assert [line for sign, line in ops if sign != "-"] == new


def test_deletions_stand_before_insertions():
    for old, new in PAIRS:
        signs = [sign for sign, _ in diff(old, new)]
        assert ("+", "-") not in itertools.pairwise(signs), (old, new)


@pytest.mark.parametrize("context", [0, 1, 3])
def test_patches_apply(context):
    for old, new in PAIRS:
        assert apply(old, hunks(diff(old, new), context)) == new


def test_two_distant_changes_are_two_hunks():
    old = [str(n) for n in range(30)]
    new = old[:5] + old[6:20] + ["x", *old[20:]]
    found = hunks(diff(old, new), context=2)
    assert [(a, b, len(ops)) for a, b, ops in found] == [(3, 3, 5), (18, 17, 5)]


def test_touching_contexts_share_a_hunk():
    old = [str(n) for n in range(20)]
    near = ["x" if n in (5, 10) else str(n) for n in range(20)]
    far = ["x" if n in (5, 11) else str(n) for n in range(20)]
    assert len(hunks(diff(old, near), context=2)) == 1
    assert len(hunks(diff(old, far), context=2)) == 2


def test_no_context():
    assert hunks(diff(["a", "b", "c"], ["a", "c"]), context=0) == [(1, 1, [("-", "b")])]


def test_nothing_changed():
    assert hunks(diff(["a"], ["a"])) == [] and diff([], []) == []
    assert apply(["a"], []) == ["a"]


def test_from_and_to_nothing():
    assert diff([], ["a", "b"]) == [("+", "a"), ("+", "b")]
    assert diff(["a", "b"], []) == [("-", "a"), ("-", "b")]


def test_hunk_out_of_place():
    patch = hunks(diff(["a", "b", "c", "d"], ["a", "b", "c", "D"]), context=1)
    with pytest.raises(PatchError):
        apply(["a", "b"], patch)
    with pytest.raises(PatchError):
        apply(["x", "y", "z", "d"], patch)


def test_hunks_in_the_wrong_order_or_beyond_the_end():
    same = ["a", "a", "a"]
    with pytest.raises(PatchError):
        apply(same, [(1, 1, [(" ", "a")]), (0, 0, [(" ", "a")])])
    with pytest.raises(PatchError):
        apply(["a"], [(5, 5, [("+", "x")])])
