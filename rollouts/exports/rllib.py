"""Offline data for RLlib: episodes that `BCConfig().offline_data(input_read_episodes=True)` trains on."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.trajectory import Trajectory

from ..errors import ConfigError
from ..governance import Admitted
from ..policies.mutation.weights import COLUMN, FAMILIES, NAMES
from .encoders import Encoder, encoder
from .exporter import Column, Row
from .rollout import Credit, Rollout
from .shape import tools
from .text_episode import EPISODE, frame, left_out, own_steps, text_episode

if TYPE_CHECKING:
    from gymnasium import Space

FORMS = ("tools", "edits", "text")


class Rllib:
    """One episode per branch that has a reward, of the steps it took itself, in one of three forms:

    `tools`  which tool was called, from what was seen last. Observation: the text as a vector (`encoder`, by
             default `hashed_ngrams` of `dim` entries), Box(dim,). Action: the tool's place in the task's list,
             Discrete. Works for the runs of every policy. Has no log-probabilities: what a policy knows is
             that of the whole call.
    `edits`  runs of the mutation policy: one step is one choice of an edit. Observation: the mean feature
             vector of the edits there were, weighted by how likely each was, Box(features,). Action: the
             family of the one that was drawn, Discrete. Its log-probability is exact: the mean of a family's
             indicator is the family's probability.
    `text`   observations and actions as text, for modules of your own (RLlib's encoders take no text).

    The last step has the branch's reward, all others 0. `extra_model_outputs["action_logp"]` is there when
    every step of the data set has one (of a text: that of the reply that made the call); `require_log_probs`
    makes it an error when not. Infos say where an episode comes from (the first one) and what is known of each
    step, its tree advantage among it.
    """

    name = "rllib"
    formats = ("rllib",)
    columns: Mapping[str, Column] = EPISODE

    def __init__(
        self,
        form: str = "tools",
        dim: int = 256,
        encoder: str | Encoder | None = None,
        require_log_probs: bool = False,
    ) -> None:
        if form not in FORMS:
            raise ConfigError(f"export rllib: form {form!r}: unknown; known: {', '.join(FORMS)}")
        self.form, self.require_log_probs = form, require_log_probs
        self._encode = _encoder(encoder, dim)

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            reason = left_out(admitted.record)
            row = None if reason else self._row(admitted, rollout.credit)
            if row is None:
                excluded[reason or "no_choice_event"] += 1
                continue
            row["log_probs"] = _known(row)
            if self.require_log_probs and row["log_probs"] is None:
                raise ConfigError(_lacking(row))
            yield row

    def _row(self, admitted: Admitted, credit: Credit) -> Row | None:
        if self.form == "edits":
            return edits_episode(admitted, credit)
        row = text_episode(admitted, credit)
        if self.form == "text":
            return row
        encoded = [[float(x) for x in self._encode(text)] for text in row["observations"]]
        choices = [tool["function"]["name"] for tool in tools(admitted.record.trajectory)]
        told = [{**each, "log_prob": None} for each in row["told"]]
        return row | {
            "observations": encoded,
            "actions": [each["tool"] for each in told],
            "told": told,
            "choices": choices,
        }


def edits_episode(admitted: Admitted, credit: Credit) -> Row | None:
    """The choices of a branch of the mutation policy; None when it recorded none.

    The observation after the last choice is all zero: there are no edits left to choose from.
    """
    trajectory, branch = admitted.record.trajectory, admitted.record.lineage.branch_id
    advantage, trains = credit.steps(branch), credit.trains(branch)
    chosen = list(_choices(trajectory))
    if not chosen:
        return None
    return {
        **frame(admitted, len(chosen)),
        "observations": [*(mean for _, _, mean, _ in chosen), [0.0] * len(NAMES)],
        "actions": [family for _, family, _, _ in chosen],
        "choices": list(FAMILIES),
        "told": [
            {
                "step": step,
                "log_prob": log_prob,
                "advantage": advantage[step] if advantage else None,
                "trains": bool(trains) and trains[step],
            }
            for step, _, _, log_prob in chosen
        ],
    }


def read_spaces(path: Path | str) -> tuple[Space[Any], Space[Any]]:
    """(observation space, action space) of an export, for `config.environment`, from its `rllib.json`.

    Raises `ConfigError` when the file is something else.
    """
    import numpy as np
    from gymnasium import spaces

    def made(told: dict[str, Any]) -> Space[Any]:
        if told["type"] == "Box":
            return spaces.Box(-np.inf, np.inf, tuple(told["shape"]), np.float32)
        if told["type"] == "Discrete":
            return spaces.Discrete(told["n"])
        return spaces.Text(max_length=told["max_length"], min_length=0, charset=told["charset"])

    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        return made(told["observation_space"]), made(told["action_space"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: holds no spaces of an RLlib export ({error!r})") from None


def _choices(trajectory: Trajectory) -> Iterator[tuple[int, str, list[float], float]]:
    """(first step, family, mean features, log-probability of the family) of every choice carried out."""
    first = {step.turn: step.index for step in own_steps(trajectory) if step.call == 0}
    for event in trajectory.events:
        if event.get("kind") != "choice" or event.get("turn") not in first:
            continue
        drawn, mean = event.get("features", {}), event.get("mean_features", {})
        family = next((name[3:] for name in drawn if name.startswith("op:")), "")
        p = mean.get(f"op:{family}", 0.0)
        if family not in FAMILIES or not 0 < p <= 1 + 1e-6:
            continue  # written by a version with other families
        vector = [0.0] * len(NAMES)
        for name in mean.keys() & COLUMN.keys():
            vector[COLUMN[name]] = float(mean[name])
        yield first[event["turn"]], family, vector, min(0.0, math.log(p))


def _known(row: Row) -> list[float] | None:
    """The log-probability of every action, or None when one of them has none."""
    found = [each["log_prob"] for each in row["told"]]
    return None if None in found else found


def _lacking(row: Row) -> str:
    step = next(each["step"] for each in row["told"] if each["log_prob"] is None)
    return (
        f"export rllib: {row['rollout_id']}/{row['branch_id']}: trajectory.steps[{step}].log_prob is absent, or "
        "not that of this action alone, so there is no action_logp; leave out require_log_probs, or use form=edits "
        "for runs of the mutation policy"
    )


def _encoder(given: str | Encoder | None, dim: int) -> Encoder:
    try:
        return encoder(given, dim)
    except ConfigError as error:
        raise ConfigError(f"export rllib: {error}") from None
