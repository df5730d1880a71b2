"""Episodes as RLlib reads them: Parquet with a column `item` of packed `SingleAgentEpisode` states."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, EnvironmentLacks
from ..store import code_version
from .exporter import Exporter, Row
from .files import GROUP_BYTES, Written, part_of, put_in_place
from .spool import Spool

#: The last action of the space, where some call named a tool that is not there.
OTHER = "(other)"


class RllibFile:
    """`STEM.parquet`, and the spaces of its episodes in `STEM.json`.

    The states come from RLlib's own class, so they are what the installed RLlib reads. Raises
    `EnvironmentLacks` without it.
    """

    def __init__(self, stem: Path, exporter: Exporter) -> None:
        self._pack = _packer()
        self.path, self.told = stem.with_name(f"{stem.name}.parquet"), stem.with_name(f"{stem.name}.json")
        self._part, self._told_part = part_of(self.path), part_of(self.told)
        self._columns, self._form = exporter.columns, str(getattr(exporter, "form", ""))
        self._spaces = _Spaces()
        self._spool = Spool(part_of(stem.with_name(f"{stem.name}.spool")))

    def write(self, row: Row) -> None:
        """Add an episode."""
        self._spaces.add(row)
        self._spool.write(row)

    def finish(self) -> list[Written]:
        """Put both files in place. Raises `ConfigError` when there is no episode."""
        rows, spaces = self._spool.rows, self._spaces
        if not rows:
            raise ConfigError(
                f"export rllib: no branch gives an episode, nothing to train on{_why(self._form)}"
            )
        self._write_parquet()
        told = {"form": self._form, "code_version": code_version(), "episodes": rows, **spaces.told()}
        self._told_part.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self._spool.discard()
        return [
            put_in_place(self._part, self.path, rows),
            put_in_place(self._told_part, self.told, rows),
        ]

    def discard(self) -> None:
        """Leave nothing."""
        self._spool.discard()
        for part in (self._part, self._told_part):
            part.unlink(missing_ok=True)

    def _write_parquet(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        fields = [(name, kinds[kind]) for name, kind in self._columns.items()]
        schema = pa.schema([("item", pa.binary()), *fields])
        with pq.ParquetWriter(self._part, schema, compression="zstd") as writer:
            for group in _groups(self._packed()):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))

    def _packed(self) -> Iterator[Row]:
        for row in self._spool:
            episode = self._spaces.episode(row)
            yield {name: row.get(name) for name in self._columns} | {"item": self._pack(episode)}


class _Spaces:
    """What the episodes have in common, known when the last one is."""

    def __init__(self) -> None:
        self.steps, self.logp, self.shape = 0, True, 0
        self._choices: dict[str, int] = {}  # action -> its number
        self._other = False
        self._letters: tuple[set[str], set[str]] = (set(), set())  # of observations, of actions
        self._longest = [1, 1]

    def add(self, row: Row) -> None:
        """Take an episode in."""
        self.steps += row["steps"]
        self.logp &= row["log_probs"] is not None
        if "choices" in row:
            for name in row["choices"]:
                self._choices.setdefault(name, len(self._choices))
            self._other |= not set(row["actions"]) <= set(row["choices"])
            lengths = {self.shape or len(row["observations"][0]), *map(len, row["observations"])}
            if len(lengths) > 1:
                raise ConfigError(
                    f"export rllib: the encoder gives vectors of lengths {sorted(lengths)}, not of one"
                )
            self.shape = lengths.pop()
            return
        for i, texts in enumerate((row["observations"], row["actions"])):
            self._letters[i].update(*texts)
            self._longest[i] = max(self._longest[i], *map(len, texts))

    def told(self) -> dict[str, Any]:
        """The spaces as plain data."""
        if not self._choices:
            observation, action = (
                {"type": "Text", "max_length": longest, "charset": "".join(sorted(letters)) or " "}
                for letters, longest in zip(self._letters, self._longest, strict=True)
            )
            return {"observation_space": observation, "action_space": action, **self._rest()}
        actions = [*self._choices, *([OTHER] if self._other else [])]
        return {
            "observation_space": {
                "type": "Box",
                "low": None,
                "high": None,
                "shape": [self.shape],
                "dtype": "float32",
            },
            "action_space": {"type": "Discrete", "n": len(actions)},
            "actions": actions,
            **self._rest(),
        }

    def episode(self, row: Row) -> dict[str, Any]:
        """The arguments of RLlib's episode."""
        observations, actions = row["observations"], row["actions"]
        if self._choices:
            offered = set(row["choices"])
            other = len(self._choices)
            observations = [np.array(vector, dtype=np.float32) for vector in observations]
            actions = [self._choices[name] if name in offered else other for name in actions]
        return {
            "id_": row["episode_id"],
            "observations": observations,
            "actions": actions,
            "rewards": row["rewards"],
            "infos": [
                _place(row),
                *({k: v for k, v in each.items() if v is not None} for each in row["told"]),
            ],
            "terminated": row["terminated"],
            "truncated": row["truncated"],
            "extra_model_outputs": {"action_logp": row["log_probs"]} if self.logp else {},
            "t_started": 0,
            "len_lookback_buffer": 0,
        }

    def _rest(self) -> dict[str, Any]:
        return {"steps": self.steps, "action_logp": self.logp}


def _place(row: Row) -> dict[str, Any]:
    """Where an episode comes from, as its first info."""
    names = (
        "run_id",
        "rollout_id",
        "branch_id",
        "parent",
        "fork_step",
        "task_id",
        "policy",
        "model",
        "ending",
    )
    return {name: row[name] for name in names if row[name] is not None}


def _why(form: str) -> str:
    return (
        "; form=edits needs events of kind 'choice' in trajectory.events, which only the mutation policy writes"
        if form == "edits"
        else ""
    )


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Row groups of bounded size."""
    group, size = list[Row](), 0
    for row in rows:
        group.append(row)
        size += len(row["item"])
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _packer() -> Callable[[dict[str, Any]], bytes]:
    """From the arguments of an episode to the bytes that RLlib unpacks."""
    try:
        import msgpack
        import msgpack_numpy
        from ray.rllib.env.single_agent_episode import SingleAgentEpisode
    except ImportError as error:
        raise EnvironmentLacks(
            f'export rllib needs RLlib: pip install "rollout-fork[rllib]" ({error})'
        ) from None

    def pack(arguments: dict[str, Any]) -> bytes:
        episode = SingleAgentEpisode(**arguments)
        if not isinstance(arguments["observations"][0], str):
            episode.to_numpy()
        packed: bytes = msgpack.packb(episode.get_state(), default=msgpack_numpy.encode)
        return packed

    return pack
