"""A Minari data set of text episodes: observations, tool calls, rewards, and where each comes from."""

from __future__ import annotations

import math
import os
import re
import shutil
import string
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, EnvironmentLacks
from ..store import code_version
from .exporter import Column, Row
from .files import Written, part_of
from .rollout import Rollout
from .shape import ORIGIN
from .spool import Spool
from .text_episode import EPISODE, left_out, text_episode

if TYPE_CHECKING:
    from gymnasium.spaces import Text

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*-v\d+")


class Minari:
    """One episode per branch that has a reward, of the steps it took itself.

    Observations and actions are texts (see `text_episode`), rewards 0 but for the last step's. Infos have an
    entry for the beginning and one per step: the columns of `ORIGIN` that the branch has; as the env has them
    `steps` (taken so far, shared ones included), `tool_error` and `exit_code` (-1 without one); `tool`; `trains`;
    `log_prob` and `advantage` (NaN where there is none). Minari gives texts in infos back as UTF-8 bytes. The
    columns are the episode's metadata, too. A branch with a NUL in an observation, for which the file format has
    no room, is left out. `dataset` is the data set's id, `NAME-vN`; by default the run's id.
    """

    name = "minari"
    formats = ("minari",)
    columns: Mapping[str, Column] = EPISODE

    def __init__(self, dataset: str | None = None) -> None:
        if dataset is not None and not _ID.fullmatch(dataset):
            raise ConfigError(
                f"export minari: dataset {dataset!r} is no id like my-run-v0 (letters, digits, - and _)"
            )
        self.dataset = dataset

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            if reason := left_out(admitted.record):
                excluded[reason] += 1
                continue
            row = text_episode(admitted, rollout.credit)
            if any("\0" in text for text in row["observations"]):
                excluded["nul_in_text"] += 1
            else:
                yield row


def text_space(max_length: int) -> Text:
    """A space of all texts up to so many characters that Minari can write, for `minari.DataCollector(env,
    observation_space=..., action_space=...)`: the env's own space is none that Minari knows.

    On disk it names printable ASCII; what else occurs is stored and read back all the same.
    """
    from gymnasium.spaces import Text

    class AnyText(Text):
        def contains(self, x: Any) -> bool:
            return isinstance(x, str) and len(x) <= self.max_length

    return AnyText(max_length, min_length=0, charset=string.printable)


class MinariFile:
    """The data set in a directory of its own beside `stem`: the directory around it is what
    `MINARI_DATASETS_PATH` should name to load it.

    The text spaces take the letters and lengths that occur, so a program that reads the data needs Minari and
    nothing of ours. Raises `EnvironmentLacks` without Minari.
    """

    def __init__(self, stem: Path, exporter: Minari) -> None:
        self._minari = _library()
        self._root, self._dataset = stem.parent, exporter.dataset
        self._part = part_of(stem)
        self._spool = Spool(part_of(stem.with_name(f"{stem.name}.spool")))
        self._letters: tuple[set[str], set[str]] = (set(), set())  # of observations, of actions
        self._longest = [1, 1]
        self._run_id, self._policies = "", set[str]()

    def write(self, row: Row) -> None:
        """Add an episode."""
        for i, texts in enumerate((row["observations"], row["actions"])):
            self._letters[i].update(*texts)
            self._longest[i] = max(self._longest[i], *map(len, texts))
        self._run_id = row["run_id"]
        self._policies.add(":".join(filter(None, (row["policy"], row["model"]))))
        self._spool.write(row)

    def finish(self) -> list[Written]:
        """Put the data set in place of an earlier one of its id. Raises `ConfigError` when there is no episode."""
        rows = self._spool.rows
        if not rows:
            raise ConfigError("export minari: no branch gives an episode, and Minari has no empty data set")
        name = self._dataset or re.sub(r"[^A-Za-z0-9]+", "-", self._run_id).strip("-") + "-v0"
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()
        self._create(name)
        self._spool.discard()
        written = _swap(self._part / name, self._root / name, rows)
        shutil.rmtree(self._part, ignore_errors=True)
        return [written]

    def discard(self) -> None:
        """Leave nothing."""
        self._spool.discard()
        shutil.rmtree(self._part, ignore_errors=True)

    def _create(self, name: str) -> None:
        from gymnasium.spaces import Text

        observation, action = (
            Text(max_length=longest, min_length=0, charset="".join(sorted(letters)) or " ")
            for letters, longest in zip(self._letters, self._longest, strict=True)
        )
        with _datasets_in(self._part.resolve()), warnings.catch_warnings():
            # It advises an author, an address and an env to try policies in; a run knows of none.
            warnings.simplefilter("ignore", UserWarning)
            dataset = self._minari.create_dataset_from_buffers(
                name,
                (self._buffer(row) for row in self._spool),
                observation_space=observation,
                action_space=action,
                algorithm_name=", ".join(sorted(self._policies)),
                description=f"Branches of the run {self._run_id}, written by rollout-fork {code_version()}",
                data_format="hdf5",
            )
        dataset.storage.update_metadata({"run_id": self._run_id, "code_version": code_version()})
        dataset.storage.update_episode_metadata(_about(row) for row in self._spool)

    def _buffer(self, row: Row) -> Any:
        steps, about = row["steps"], _about(row)
        told = row["told"]
        return self._minari.data_collector.EpisodeBuffer(
            observations=row["observations"],
            actions=row["actions"],
            rewards=row["rewards"],
            terminations=[False] * (steps - 1) + [row["terminated"]],
            truncations=[False] * (steps - 1) + [row["truncated"]],
            infos={
                **{name: [value] * (steps + 1) for name, value in about.items()},
                "steps": [told[0]["step"], *(each["step"] + 1 for each in told)],
                "tool": ["", *(each["tool"] for each in told)],
                "tool_error": [False, *(each["tool_error"] for each in told)],
                "exit_code": [-1, *(-1 if each["exit_code"] is None else each["exit_code"] for each in told)],
                "trains": [False, *(each["trains"] for each in told)],
                "log_prob": [math.nan, *(_number(each["log_prob"]) for each in told)],
                "advantage": [math.nan, *(_number(each["advantage"]) for each in told)],
            },
        )


def _about(row: Row) -> dict[str, Any]:
    """Where an episode comes from; what is not known is not there."""
    return {name: row[name] for name in (*ORIGIN, "episode_id") if row[name] is not None}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


@contextmanager
def _datasets_in(root: Path) -> Iterator[None]:
    """Minari writes where this variable points, and takes no other word for it."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def _swap(made: Path, place: Path, rows: int) -> Written:
    """Move a finished directory where it belongs. Its digest is that of the lines `sha256sum` prints for its
    files in the order of their names."""
    lines, size = "", 0
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = file_digest(file, "sha256").hexdigest()
        size += path.stat().st_size
        lines += f"{digest}  {path.relative_to(made).as_posix()}\n"
    if place.exists():
        if not (place / "data" / "metadata.json").is_file():
            raise ConfigError(f"{place}: is no Minari data set; give another name with dataset=")
        place.rename(made.with_name("before"))  # goes with the directory around it
    made.rename(place)
    return Written(place, rows, size, sha256(lines.encode()).hexdigest())


def _library() -> Any:
    try:
        import minari
        import minari.data_collector
    except ImportError as error:
        raise EnvironmentLacks(
            f'export minari needs Minari: pip install "rollout-fork[minari]" ({error})'
        ) from None
    return minari
