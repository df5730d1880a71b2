"""The picture of an experiment: pass rate by round while learning, and on programs never trained on.

One SVG that needs nothing beside it and follows the reader's light or dark setting.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import StorageRefused

WIDTH, HEIGHT = 900, 380  #: without the sentences
_LEFT, _RIGHT, _MIDDLE = 60, 880, 500  #: of the curves, of the page, where the curves end
_WRAP = 118  #: characters of a sentence
_LINE = 17


@dataclass(frozen=True)
class Point:
    """A pass rate on held-out programs."""

    name: str
    rate: float
    ends: tuple[float, float] | None  #: of the interval of its difference to the base, put at the base's rate
    told: tuple[str, ...]  #: lines below it


def write_plots(
    curves: Mapping[str, Sequence[float]], points: Sequence[Point], sentences: Sequence[str], out: Path
) -> list[Path]:
    """Write `learning.svg` and a page around it, `learning.html`. Raises `StorageRefused`.

    `curves`: arm -> pass rate (0 to 1) of each round's training rollouts.
    """
    drawn = draw(curves, points, sentences)
    page = _environment("views").get_template("compare.html.j2").render(svg=drawn)
    paths = [out / "learning.svg", out / "learning.html"]
    for path, text in zip(paths, (drawn, page), strict=True):
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageRefused(f"{path}: cannot be written ({error.strerror or error})") from None
    return paths


def draw(curves: Mapping[str, Sequence[float]], points: Sequence[Point], sentences: Sequence[str]) -> str:
    """The picture as SVG."""
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, _WRAP)]
    top = 40 + _LINE * len(lines)
    bottom = top + HEIGHT - 80
    highest = max([0.1, *(rate for curve in curves.values() for rate in curve), *_reach(points)])
    ceiling = min(1.0, (int(highest * 10) + 1) / 10)

    def y(rate: float) -> float:
        return round(bottom - (bottom - top) * min(rate, ceiling) / ceiling, 1)

    rounds = max(map(len, curves.values()))
    xs = [_LEFT + (_MIDDLE - _LEFT) * (number + 0.5) / rounds for number in range(rounds)]
    columns = [_MIDDLE + (_RIGHT - _MIDDLE) * (k + 0.5) / len(points) for k in range(len(points))]
    return (
        _environment("learning")
        .get_template("learning.svg.j2")
        .render(
            width=WIDTH,
            height=bottom + 86,
            left=_LEFT,
            middle=_MIDDLE,
            right=_RIGHT,
            top=top,
            bottom=bottom,
            sentences=lines,
            ticks=[(f"{10 * k} %", y(k / 10)) for k in range(round(ceiling * 10) + 1)],
            rounds=[(number, round(x, 1)) for number, x in enumerate(xs, 1)],
            curves=[
                {"name": name, "dots": [(round(x, 1), y(rate)) for x, rate in zip(xs, curve, strict=True)]}
                for name, curve in curves.items()
            ],
            points=[
                {
                    "name": point.name,
                    "x": round(x, 1),
                    "y": y(point.rate),
                    "rate": f"{point.rate:.1%}",
                    "ends": point.ends and (y(max(0.0, point.ends[0])), y(point.ends[1])),
                    "told": point.told,
                }
                for x, point in zip(columns, points, strict=True)
            ],
        )
    )


def _reach(points: Sequence[Point]) -> list[float]:
    return [end for point in points for end in (point.rate, *(point.ends or ()))]


def _environment(room: str) -> Environment:
    return Environment(
        loader=PackageLoader("rollouts", room),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
