"""Differences between two lists of lines, and applying them."""


class PatchError(ValueError):
    """A hunk does not fit the lines it is applied to."""


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


def summary(ops):
    """(lines deleted, lines added)."""
    return sum(sign == "-" for sign, _ in ops), sum(sign == "+" for sign, _ in ops)


def hunks(ops, context=3):
    """Changes with up to `context` unchanged lines around them: (old start, new start, ops)."""
    if all(sign == " " for sign, _ in ops):
        return []
    return [(0, 0, list(ops))]


def apply(lines, patch):
    """The lines after all hunks, which are in ascending order."""
    result = []
    at = 0
    for old_start, _, ops in patch:
        if old_start < at or old_start > len(lines):
            raise PatchError(f"no line {old_start}")
        result.extend(lines[at:old_start])
        at = old_start
        for sign, line in ops:
            if sign == "+":
                result.append(line)
                continue
            if lines[at : at + 1] != [line]:
                raise PatchError(f"line {at} is not {line!r}")
            if sign == " ":
                result.append(line)
            at += 1
    return result + lines[at:]


def render(ops):
    return "\n".join(sign + line for sign, line in ops)
