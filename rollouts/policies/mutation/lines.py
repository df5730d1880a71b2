"""Mutations of sources that are no Python: tokens and lines, without knowing the language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .source import MAX_SOURCE, Mutation

#: token -> what may stand in its place
_TOKENS: dict[str, tuple[str, ...]] = {
    "<=": ("<", ">="), ">=": (">", "<="), "==": ("!=", "<=", ">="), "!=": ("==",), "<": ("<=", ">"),
    ">": (">=", "<"), "&&": ("||",), "||": ("&&",), "++": ("--",), "--": ("++",), "+=": ("-=", "="),
    "-=": ("+=",), "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("/",), "=": ("+=", "=="),
    "-gt": ("-ge", "-lt"), "-ge": ("-gt", "-le"), "-lt": ("-le", "-gt"), "-le": ("-lt", "-ge"),
    "-eq": ("-ne",), "-ne": ("-eq",), "-z": ("-n",), "-n": ("-z",), "-f": ("-d", "-e"), "-r": ("-rn", ""),
    "true": ("false",), "false": ("true",), "break": ("continue",), "continue": ("break",), "head": ("tail",),
    "tail": ("head",), "min": ("max",), "max": ("min",), "%d": ("%ld", "%u"), "$@": ("$<", "$^", '"$@"'),
    "$<": ("$^",), "$*": ('"$@"',), "'": ('"',), ">>": (">",), "2>&1": ("",), ",": (";",), ";": (",",), "!": ("",),
    "    ": ("\t",), "sort": ("sort -u", "sort -n"), "uniq": ("sort | uniq",), "&": ("",), "*)": ("",),
}  # fmt: skip

_TOKEN = re.compile(
    r"(?<![\w-])-(?:gt|ge|lt|le|eq|ne|z|n|f|r)\b|\b(?:true|false|break|continue|head|tail|min|max|sort|uniq)\b"
    r"|<=|>=|==|!=|&&|\|\||\+\+|--|\+=|-=|2>&1|>>|%d|\$[@<*]|^ {4}|[<>+\-*/%='!,;&]"
)
_NUMBER = re.compile(r"(?<![\w.])\d{1,6}(?![\w.])")
_WORD = re.compile(r"[A-Za-z_]\w*")
_SHELL_VARIABLE = re.compile(r'(?<!["\w])\$(?:\{\w+\}|\w+)(?!["\w])')


def mutations(text: str, limit: int = 6000) -> list[Mutation]:
    """Mutations of a text file, family `text`, in the order of the file."""
    if len(text) > MAX_SOURCE or "\0" in text:
        return []
    out: list[Mutation] = []
    lines = text.splitlines(keepends=True)
    words = list(dict.fromkeys(_WORD.findall(text)))
    start = 0
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith(("//", "/*", "# ")):
            after = lines[number] if number < len(lines) else ""
            out += _line(line, after, start, number, words)
        start += len(line)
        if len(out) > limit:
            break
    return out[:limit]


def _line(line: str, after: str, start: int, number: int, words: list[str]) -> Iterator[Mutation]:
    def at(begin: int, end: int, new: str, prior: float = 0.0) -> Mutation:
        return Mutation(start + begin, start + end, new, "text", number, prior)

    for match in _TOKEN.finditer(line):
        for new in _TOKENS[match.group()]:
            yield at(*match.span(), new, 0.0 if len(match.group()) > 1 or match.group() in "<>" else -0.7)
    for match in _NUMBER.finditer(line):
        value = int(match.group())
        for other, prior in ((value + 1, 0.0), (value - 1, 0.0), (0, -0.7), (1, -0.7)):
            if other != value and other >= 0:
                yield at(*match.span(), str(other), prior)
    for match in _SHELL_VARIABLE.finditer(line):
        yield at(*match.span(), f'"{match.group()}"', -0.5)
    for match in _WORD.finditer(line):
        alike = [w for w in words if w != match.group() and w.lower()[:1] == match.group().lower()[:1]]
        for word in alike[:3]:
            yield at(*match.span(), word, -2.0)
    yield at(0, len(line), "", -1.0)
    if after.strip() and after.endswith("\n"):
        yield at(0, len(line) + len(after), after + line, -1.5)
    if line.startswith((" " * 4, " " * 8)):
        yield at(0, len(line) - len(line.lstrip()), "\t", -1.5)
