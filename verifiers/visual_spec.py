"""What a visual task declares: the table `[metadata.rollout_fork.visual]` of its task.toml.

    build = "python3 plot.py"                  # optional: run in the working directory first
    serve = "python3 app.py"                   # optional: a server; without it, files are opened
    url = "http://127.0.0.1:8000/"             # where it answers

    [[metadata.rollout_fork.visual.pages]]
    path = "index.html"
    viewport = { width = 375, height = 667 }
    actions = [{ click = "#menu" }]
    checks = [{ id = "save", kind = "role", role = "button", name = "Save" }]

    [[metadata.rollout_fork.visual.images]]
    id = "plot"
    path = "plot.png"
    reference = "plot.png"                     # in the task's tests/, which the work never sees

Unknown keys are errors, and so is a table without a single check: it would pass anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import VerifierError

MAX_SIDE = 4096  #: pixels of one side of a viewport
MAX_CHECKS = 200

Words = Annotated[str, Field(min_length=1, max_length=1000)]
Identity = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Seconds = Annotated[float, Field(gt=0, le=600)]


class BadVisualSpec(VerifierError):
    """A task's visual table is wrong. Says where, what, and the nearest known name."""

    def __init__(self, message: str, keys: tuple[str, ...] = ()) -> None:
        """`keys` lead to the place, without positions in lists."""
        super().__init__(message)
        self.keys = keys


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Viewport(_Strict):
    """CSS pixels; one is one pixel of the screenshot."""

    width: int = Field(default=1280, ge=64, le=MAX_SIDE)
    height: int = Field(default=720, ge=64, le=MAX_SIDE)


class Action(_Strict):
    """One thing done before the checks; exactly one of click, fill, press, wait_for."""

    click: Words | None = None  #: a selector
    fill: Words | None = None  #: a selector; with `text`
    text: str = ""
    press: Words | None = None  #: a key such as "Enter"; with `on` in that element
    on: Words | None = None
    wait_for: Words | None = None  #: a selector that becomes visible
    timeout_s: Seconds = 3.0

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.click, self.fill, self.press, self.wait_for)) != 1:
            raise ValueError("an action is exactly one of click, fill, press, wait_for")
        return self


class Box(_Strict):
    """A part of a picture, in its pixels, from the upper left corner."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Comparison(_Strict):
    """How a picture is compared with its reference."""

    reference: Words  #: a PNG file in the task's tests/
    tolerance: int = Field(default=8, ge=0, le=255)  #: a channel that differs by no more is equal
    max_share: float = Field(default=0.0, ge=0, lt=1)  #: share of all pixels that may differ
    masks: tuple[Words | Box, ...] = ()  #: not compared: boxes, and on pages what selectors match
    #: share of the picture that masks by selector may cover: the work decides how large those elements are
    max_masked: float = Field(default=0.2, ge=0, lt=1)

    @field_validator("reference")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return _inside(value)


class SelectorCheck(_Strict):
    """What CSS finds. Without any expectation: that there is a match."""

    kind: Literal["selector"]
    id: Identity
    selector: Words
    count: int | None = Field(default=None, ge=0)
    text: str | None = None  #: of the first match, as shown, white space as one space
    contains: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)  #: of the first match
    style: dict[str, str] = Field(default_factory=dict)  #: computed, of the first match


class RoleCheck(_Strict):
    """What assistive software finds: a role, and the accessible name."""

    kind: Literal["role"]
    id: Identity
    role: Words
    name: Words | None = None  #: the whole name; None: any
    count: int | None = Field(default=None, ge=0)  #: None: at least one


class ConsoleCheck(_Strict):
    """Nothing went wrong while the page was loaded and used."""

    kind: Literal["console"]
    id: Identity
    errors: bool = True  #: messages of the level "error"
    exceptions: bool = True  #: exceptions that nothing caught
    requests: bool = True  #: requests that failed, also every one to the outside


class LayoutCheck(_Strict):
    """Where an element is. `visible`, `in_viewport` and `not_covered` hold for every match; there must be one.

    `visible`: scrolled to, something of it reaches the screen (`inside/paint.py`); less than 4 pixels, or what
    differs from its surroundings by 8 of 255 or less, is nothing. `not_covered`: at its middle and near its
    corners a click would meet it, and nothing that lets clicks through takes away more than a twentieth of
    what it paints.
    """

    kind: Literal["visible", "in_viewport", "not_covered", "no_overlap"]
    id: Identity
    selector: Words


class ScrollCheck(_Strict):
    """The page is not wider than the viewport."""

    kind: Literal["no_horizontal_scroll"]
    id: Identity


class PixelCheck(Comparison):
    """The screenshot, or the part of it that `clip` matches (all of it in the viewport), looks like the reference."""

    kind: Literal["pixels"]
    id: Identity
    clip: Words | None = None


Check = Annotated[
    SelectorCheck | RoleCheck | ConsoleCheck | LayoutCheck | ScrollCheck | PixelCheck,
    Field(discriminator="kind"),
]


class Page(_Strict):
    """One page, opened in a context of its own."""

    path: Words  #: below the site's root; with `serve` below the url; a query may follow
    id: Identity = "page"
    viewport: Viewport = Viewport()
    load_timeout_s: Seconds = 10.0
    actions: tuple[Action, ...] = Field(default=(), max_length=50)
    checks: tuple[Check, ...] = Field(min_length=1, max_length=MAX_CHECKS)


class ImageCheck(Comparison):
    """A PNG file that the work wrote."""

    id: Identity
    path: Words  #: in the working directory
    masks: tuple[Box, ...] = ()

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, value: str) -> str:
        return _inside(value)


class VisualSpec(_Strict):
    """Everything that is looked at."""

    build: Words | None = None  #: shell command, run in the working directory before anything is opened
    build_timeout_s: Seconds = 60.0
    serve: Words | None = None
    url: Annotated[str, Field(pattern=r"^http://(127\.0\.0\.1|localhost):\d{2,5}(/.*)?$")] | None = None
    ready_timeout_s: Seconds = 10.0
    root: str = "."  #: directory of the site, below the working directory
    timeout_s: Seconds = 60.0  #: for all pages together
    pages: tuple[Page, ...] = Field(default=(), max_length=20)
    images: tuple[ImageCheck, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.serve is None) != (self.url is None):
            raise ValueError("serve and url belong together")
        if not self.pages and not self.images:
            raise ValueError("there is no check: give pages or images")
        _inside(self.root)
        _once("page", [page.id for page in self.pages])
        for page in self.pages:
            _once("check", [check.id for check in page.checks])
        _once("image", [image.id for image in self.images])
        return self

    def references(self) -> Iterator[str]:
        """The files in tests/ that are needed."""
        for page in self.pages:
            yield from (check.reference for check in page.checks if isinstance(check, PixelCheck))
        yield from (image.reference for image in self.images)


def read_spec(table: Mapping[str, Any]) -> VisualSpec:
    """The table as a spec. Raises `BadVisualSpec` with the first thing that is wrong, in one line."""
    try:
        return VisualSpec.model_validate(table)
    except ValidationError as error:
        raise _first(error) from None


def _once(what: str, ids: Sequence[str]) -> None:
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"the {what} id {twice[0]!r} is there twice")


def _first(error: ValidationError) -> BadVisualSpec:
    """An unknown key explains what is missing beside it; of the rest, the most exact place."""
    errors = error.errors(include_url=False)
    first = max(errors, key=lambda each: (each["type"] == "extra_forbidden", len(each["loc"])))
    loc = first["loc"]
    parts = [p for i, p in enumerate(loc) if not (i and isinstance(loc[i - 1], int) and p in _TAGS)]
    place = ".".join(map(str, parts))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        wrong = str(first["loc"][-1])
        near = difflib.get_close_matches(wrong, _KEYS, n=1)
        message = "is not a known key" + (f"; did you mean {near[0]}?" if near else "")
    elif first["type"] == "union_tag_invalid":
        wrong = str(first["ctx"]["tag"])
        near = difflib.get_close_matches(wrong, _KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(_KINDS)}"
        place, message = f"{place}.kind", f"{wrong!r} is not a kind of check; {hint}"
    keys = tuple(part for part in parts if isinstance(part, str))
    return BadVisualSpec(f"{place}: {message}" if place else message, keys)


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ValueError(f"{path!r} must be relative and without `..`")
    return path


_CHECKS = get_args(get_args(Check)[0])
_KINDS = tuple(kind for check in _CHECKS for kind in get_args(check.model_fields["kind"].annotation))
#: what pydantic puts into a place for the members of a union
_TAGS = {*_KINDS, "Box", "constrained-str"}
_KEYS = {
    name
    for model in (VisualSpec, Page, Viewport, Action, Box, ImageCheck, *_CHECKS)
    for name in model.model_fields
}
