"""The picture of `rollouts compare`: the differences with their intervals, and every task, sorted.

One SVG that needs nothing beside it and follows the reader's light or dark setting. Task names are the only
text from outside; the template escapes them.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ranking.compare import PairedComparison, TaskDifference
from verifiers.browser import BROWSERS, MEND

from ..errors import ConfigError, EnvironmentLacks, StorageRefused

WIDTH = 900
_LEFT, _RIGHT = 250, 190  #: room for names, for numbers
_LABELLED = 45  #: tasks up to which each has a name and a line of its own
_LINE = 18
_HEIGHT = 640  #: of the tasks of one comparison when there are many
_THINNEST = 1.4
_WRAP = 104  #: characters of a sentence, in the widest of the fonts
_SUFFIXES = (".svg", ".png", ".html")


@dataclass(frozen=True)
class Pictured:
    """One comparison to draw."""

    name_a: str
    name_b: str
    sentence: str  #: what it says
    result: PairedComparison


def check_plot(target: Path) -> None:
    """Raise `ConfigError` unless a plot can be written under this name."""
    if target.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--plot {target}: a name that ends with {', '.join(_SUFFIXES)}")
    if not target.parent.is_dir():
        raise ConfigError(f"--plot {target}: {target.parent} is no directory")


def write_plot(pictured: Sequence[Pictured], target: Path) -> Path:
    """Draw to an SVG, HTML or PNG file, by its suffix, and return its path.

    PNG needs a browser (the extra `visual`): raises `EnvironmentLacks` without one, and `ConfigError` for another
    suffix, `StorageRefused` when the file cannot be written.
    """
    check_plot(target)
    drawn = draw(pictured)
    suffix = target.suffix.lower()
    page = _environment().get_template("compare.html.j2").render(svg=drawn)
    data = _png(page) if suffix == ".png" else (page if suffix == ".html" else drawn).encode()
    try:
        target.write_bytes(data)
    except OSError as error:
        raise StorageRefused(f"{target}: cannot be written ({error.strerror or error})") from None
    return target


def draw(pictured: Sequence[Pictured]) -> str:
    """The picture as SVG."""
    overall = _Axis.around([value for each in pictured for value in _reach(each.result)])
    tasks = _Axis(-100.0, 100.0, (-100.0, -50.0, 0.0, 50.0, 100.0))
    sentences = [line for each in pictured for line in textwrap.wrap(_clip(each.sentence, 600), _WRAP)]
    top = 30.0 + 17.0 * len(sentences) + 46.0
    summary = [_summary(each, overall, top + 34.0 * row) for row, each in enumerate(pictured)]
    at = top + 34.0 * len(pictured) + 12.0
    panels = []
    for each in pictured:
        panels.append(panel := _panel(each, tasks, at + 82.0))
        at = panel["bottom"]
    return (
        _environment()
        .get_template("compare.svg.j2")
        .render(
            width=WIDTH,
            height=round(at + 24.0),
            left=_LEFT,
            right=WIDTH - _RIGHT,
            sentences=sentences,
            overall=overall,
            top=top,
            summary=summary,
            legend=_legend(pictured),
            tasks=tasks,
            panels=panels,
        )
    )


@dataclass(frozen=True)
class _Axis:
    """Percentage points across the plot."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Sequence[float]) -> _Axis:
        """Round ends around all values and 0."""
        low, high = min(0.0, *values), max(0.0, *values)
        wide = max(high - low, 4.0)
        step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100) if wide / s <= 8)
        first, last = math.floor((low - 0.03 * wide) / step), math.ceil((high + 0.03 * wide) / step)
        return cls(first * step, last * step, tuple(float(k * step) for k in range(first, last + 1)))

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.low) / (self.high - self.low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 2)


def _reach(r: PairedComparison) -> list[float]:
    ends = [r.delta_pp, r.delta_low_worst_pp, r.delta_high_worst_pp]
    return ends + [end for end in (r.ci_low_pp, r.ci_high_pp, *(r.simultaneous_pp or ())) if end is not None]


def _summary(each: Pictured, axis: _Axis, y: float) -> dict[str, object]:
    r = each.result
    bar = None if r.ci_low_pp is None or r.ci_high_pp is None else (axis.x(r.ci_low_pp), axis.x(r.ci_high_pp))
    worst = None
    if r.n_missing_a or r.n_missing_b:
        worst = axis.x(r.delta_low_worst_pp), axis.x(r.delta_high_worst_pp)
    together = r.simultaneous_pp and tuple(map(axis.x, r.simultaneous_pp))
    return {
        "y": y,
        "name": _clip(f"{each.name_b} - {each.name_a}", 38),
        "at": axis.x(r.delta_pp),
        "bar": bar,
        "worst": worst,
        "together": together,
        "told": _told(r),
    }


def _legend(pictured: Sequence[Pictured]) -> str:
    """What the thinner lines of the summary are."""
    several = any(each.result.simultaneous_pp for each in pictured)
    missing = any(each.result.n_missing_a or each.result.n_missing_b for each in pictured)
    parts = ["thick: this comparison alone", "thin: all of them together"] if several else []
    return "; ".join(parts + (["dashed: whatever was missing"] if missing else []))


def _told(r: PairedComparison) -> str:
    if r.ci_low_pp is None or r.ci_high_pp is None:
        return f"{_pp(r.delta_pp)} pp"
    return f"{_pp(r.delta_pp)} pp ({_pp(r.ci_low_pp)} to {_pp(r.ci_high_pp)})"


def _panel(each: Pictured, axis: _Axis, top: float) -> dict[str, Any]:
    """All tasks of one comparison, the best for the second run first; tasks without an outcome last."""
    r = each.result
    lines = sorted(r.tasks, key=lambda t: (t.delta_pp is None, -(t.delta_pp or 0.0), t.task))
    labelled = len(lines) <= _LABELLED
    step = float(_LINE) if labelled else max(_THINNEST, _HEIGHT / len(lines))
    rows = [_row(line, axis, top + index * step, step, labelled) for index, line in enumerate(lines)]
    bottom = top + step * len(lines)
    panel = {
        "title": _clip(f"Each task: {each.name_b} - {each.name_a}, percentage points", 120),
        "top": top,
        "bottom": bottom,
        "labelled": labelled,
        "rows": rows,
        "at": axis.x(r.delta_pp),
        "groups": [] if labelled else _groups(lines, top, step),
        "counts": _counts(lines, each),
    }
    if r.ci_low_pp is not None and r.ci_high_pp is not None:
        panel["band"] = axis.x(r.ci_low_pp), axis.x(r.ci_high_pp)
    return panel


def _row(line: TaskDifference, axis: _Axis, y: float, step: float, labelled: bool) -> dict[str, object]:
    delta = line.delta_pp
    zero, end = axis.x(0.0), axis.x(delta or 0.0)
    gap = 5.0 if labelled else 1.0 if step >= 4.0 else 0.0
    missing = line.missing_a + line.missing_b
    means = "no outcome" if delta is None else f"{line.mean_a:.2f} → {line.mean_b:.2f}"
    return {
        "x": min(zero, end),
        "width": abs(end - zero),
        "y": round(y + gap / 2, 2),
        "height": round(step - gap, 2),
        "middle": round(y + step / 2, 2),
        "kind": "none" if delta is None else "better" if delta > 0 else "worse" if delta < 0 else "equal",
        "name": _clip(line.task, 38),
        "means": f"{means}, {missing} missing" if missing else means,
        "title": f"{_clip(line.task, 200)}: {means}" + (f", {missing} missing" if missing else ""),
    }


def _groups(lines: Sequence[TaskDifference], top: float, step: float) -> list[dict[str, object]]:
    """Runs of better, equal, worse and unknown tasks, for brackets beside many thin lines."""
    kinds = [
        ("better", sum(bool(t.delta_pp and t.delta_pp > 0) for t in lines)),
        ("equal", sum(t.delta_pp == 0 for t in lines)),
        ("worse", sum(bool(t.delta_pp and t.delta_pp < 0) for t in lines)),
        ("without outcome", sum(t.delta_pp is None for t in lines)),
    ]
    groups, start = [], top
    for kind, count in kinds:
        if count:
            end = start + count * step
            groups.append(
                {"y1": start + 1, "y2": end - 1, "middle": (start + end) / 2, "told": f"{count} {kind}"}
            )
            start = end
    return groups


def _counts(lines: Sequence[TaskDifference], each: Pictured) -> str:
    better = sum(bool(t.delta_pp and t.delta_pp > 0) for t in lines)
    worse = sum(bool(t.delta_pp and t.delta_pp < 0) for t in lines)
    return (
        f"{len(lines)} tasks: {better} better with {_clip(each.name_b, 28)}, {worse} with {_clip(each.name_a, 28)}; "
        "line and band: the difference over all and its interval"
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rollouts", "views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _png(page: str) -> bytes:
    """A picture of the page at twice its size, on light ground. Nothing in it runs or is fetched."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise EnvironmentLacks(f"a PNG needs a browser: {MEND}; or write .svg or .html") from None
    installed = next((path for path in BROWSERS if Path(path).exists()), None)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=installed)
            context = browser.new_context(
                viewport={"width": WIDTH, "height": 600},
                device_scale_factor=2,
                java_script_enabled=False,
                offline=True,
            )
            view = context.new_page()
            view.set_content(page)
            picture = view.locator("svg").screenshot()
            browser.close()
            return picture
    except Error as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentLacks(f"a PNG needs a browser ({reason}): {MEND}; or write .svg or .html") from None


def _clip(text: str, most: int) -> str:
    """Short enough, and without what XML cannot hold."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def _pp(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"
