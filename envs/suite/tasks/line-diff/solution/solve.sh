#!/bin/bash
# A shortest script comes from a longest common subsequence; hunks are runs of changes with their contexts.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "linediff.py",
    '''\
def diff(old, new):
    """Operations (sign, line) that turn `old` into `new`."""
    ops = []
    for position in range(max(len(old), len(new))):
        before = old[position : position + 1]
        after = new[position : position + 1]
        if before == after:
            ops.append((" ", before[0]))
        else:
            ops.extend(("-", line) for line in before)
            ops.extend(("+", line) for line in after)
    return ops
''',
    '''\
def common_lengths(old, new):
    """table[i][j]: length of a longest common subsequence of old[i:] and new[j:]."""
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            if old[i] == new[j]:
                table[i][j] = table[i + 1][j + 1] + 1
            else:
                table[i][j] = max(table[i + 1][j], table[i][j + 1])
    return table


def diff(old, new):
    """Operations (sign, line) that turn `old` into `new`."""
    table = common_lengths(old, new)
    ops, added = [], []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            ops.extend(added)
            added = []
            ops.append((" ", old[i]))
            i, j = i + 1, j + 1
        elif j == len(new) or (i < len(old) and table[i + 1][j] >= table[i][j + 1]):
            ops.append(("-", old[i]))
            i += 1
        else:
            added.append(("+", new[j]))
            j += 1
    return ops + added
''',
)
replace(
    "linediff.py",
    '''\
    if all(sign == " " for sign, _ in ops):
        return []
    return [(0, 0, list(ops))]
''',
    '''\
    changed = [at for at, (sign, _) in enumerate(ops) if sign != " "]
    spans = []
    for at in changed:
        first, last = max(0, at - context), min(len(ops), at + context + 1)
        if spans and first <= spans[-1][1]:
            spans[-1][1] = last
        else:
            spans.append([first, last])
    found = []
    for first, last in spans:
        old_start = sum(sign != "+" for sign, _ in ops[:first])
        new_start = sum(sign != "-" for sign, _ in ops[:first])
        found.append((old_start, new_start, list(ops[first:last])))
    return found
''',
)
EOF
