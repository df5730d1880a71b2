"""A constraint as it is written down, and a set of them that has been read and found sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..errors import ConstraintError, ConstraintProblem
from .check import Check, given
from .contradictions import contradictions
from .methods import METHODS

Level = Literal["hard", "soft"]
Category = Literal["format", "content", "style", "tool", "state", "security", "semantic"]
Strategy = Literal["auto", "patch", "rewrite_span", "regenerate"]

MAX_CONSTRAINTS = 64


def _inside(path: str) -> str:
    if "\0" in path or ".." in path.split("/") or path.endswith("/"):
        raise ValueError("must name a file, without `..`")
    return path


class Repair(BaseModel):
    """How a violation may be mended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy = "auto"  #: the first to try; "auto" tries all that apply
    hint: str = ""  #: told to the model that mends it; "": the demand itself


class Constraint(BaseModel):
    """One demand on a piece of work: what, by which method, and how much it matters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}$")]
    description: str = ""  #: for a reader; "": the method's own sentence
    method: str
    args: Mapping[str, Any] = Field(default_factory=dict)
    level: Level = "hard"  #: hard ones decide the outcome, soft ones only the score
    category: Category = "format"
    priority: int = 100  #: higher is mended first
    repair: Repair = Repair()
    #: the file that is checked (relative: from the working directory); None: the answer
    path: Annotated[str, StringConstraints(min_length=1), AfterValidator(_inside)] | None = None


@dataclass(frozen=True)
class ConstraintSet:
    """Constraints that have been read: known methods, sound arguments, no contradiction. Made by
    `read_constraints`."""

    constraints: tuple[Constraint, ...]
    checks: tuple[Check, ...]  #: the methods with their arguments, in the same order

    def __iter__(self) -> Iterator[tuple[Constraint, Check]]:
        return iter(zip(self.constraints, self.checks, strict=True))

    def __len__(self) -> int:
        return len(self.constraints)

    def __getitem__(self, constraint_id: str) -> Constraint:
        """The constraint with an id. Raises `KeyError`."""
        for constraint in self.constraints:
            if constraint.id == constraint_id:
                return constraint
        raise KeyError(constraint_id)

    def demand(self, constraint_id: str) -> str:
        """What a constraint asks, as a sentence: its description, or its method's. Raises `KeyError`."""
        constraint = self[constraint_id]
        return constraint.description or self.checks[self.constraints.index(constraint)].describe()

    @cached_property
    def digest(self) -> str:
        """sha256 of the set, hex; the order of constraints and of keys does not matter."""
        plain = [constraint.model_dump(mode="json") for constraint in self.constraints]
        plain.sort(key=lambda each: str(each["id"]))
        return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_constraints(tables: Sequence[Mapping[str, Any] | Constraint]) -> ConstraintSet:
    """Read constraints from plain tables. Raises `ConstraintError` with everything that is wrong: nothing
    there, double ids, unknown methods (with the nearest name), missing or ill-typed arguments, and demands
    that no text can meet together."""
    if isinstance(tables, str | bytes) or not isinstance(tables, Sequence):
        raise ConstraintError([ConstraintProblem(0, "", "constraints must be a list of tables")])
    if not 0 < len(tables) <= MAX_CONSTRAINTS:
        message = f"there are {len(tables)} constraints; 1 to {MAX_CONSTRAINTS} can be checked"
        raise ConstraintError([ConstraintProblem(0, "", message)])
    problems: list[ConstraintProblem] = []
    found = [_read(index, table, problems) for index, table in enumerate(tables)]
    read = [each for each in found if each is not None]
    problems += _doubles(read)
    if not problems:
        problems += [
            ConstraintProblem(read[later][0], read[later][1].id, message)
            for later, message in contradictions([(c, check) for _, c, check in read])
        ]
    if problems:
        raise ConstraintError(problems)
    return ConstraintSet(tuple(c for _, c, _ in read), tuple(check for _, _, check in read))


def _read(
    index: int, table: Mapping[str, Any] | Constraint, problems: list[ConstraintProblem]
) -> tuple[int, Constraint, Check] | None:
    """One constraint with its check; None, and what is wrong with it in `problems`."""
    try:
        constraint = table if isinstance(table, Constraint) else Constraint.model_validate(table)
    except ValidationError as error:
        name = str(table.get("id", ""))[:128] if isinstance(table, Mapping) else ""
        problems += [ConstraintProblem(index, name, told) for told in _told(error)]
        return None
    try:
        check = METHODS.load(constraint.method).model_validate(given(constraint.args))
    except KeyError as error:
        problems.append(ConstraintProblem(index, constraint.id, str(error.args[0])))
        return None
    except ValidationError as error:
        problems += [ConstraintProblem(index, constraint.id, told) for told in _told(error, "args")]
        return None
    if check.needs_file and constraint.path is None:
        message = f"method {constraint.method} needs a `path`"
        problems.append(ConstraintProblem(index, constraint.id, message))
        return None
    return index, constraint, check


def _doubles(read: Sequence[tuple[int, Constraint, Check]]) -> list[ConstraintProblem]:
    first: dict[str, int] = {}
    found = []
    for index, constraint, _ in read:
        if constraint.id in first:
            message = f"the id is taken by constraint {first[constraint.id] + 1}; give it another one"
            found.append(ConstraintProblem(index, constraint.id, message))
        first.setdefault(constraint.id, index)
    return found


def _told(error: ValidationError, *prefix: str) -> list[str]:
    """One short sentence for each thing that is wrong."""
    told = []
    for each in error.errors(include_url=False)[:10]:
        place = ".".join(map(str, (*prefix, *each["loc"])))
        shown = "" if each["type"] == "missing" else f" (found {str(each.get('input'))[:60]!r})"
        told.append(f"{place}: {each['msg']}{shown}" if place else f"{each['msg']}{shown}")
    return told
