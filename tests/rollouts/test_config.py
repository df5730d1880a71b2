"""What a config may say, and how it is told what it may not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rollouts.config import load_config, parse_config
from rollouts.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("name", sorted(p.name for p in CONFIGS.glob("*.yaml")))
def test_every_shipped_config_is_valid(name: str) -> None:
    assert load_config(CONFIGS / name).branches >= 1


def test_an_unknown_setting_is_one_line_with_place_and_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("branches: 2\nbudget:\n  step: 5\n", origin="x.yaml")
    assert str(caught.value) == "x.yaml:3: unknown setting budget.step; did you mean steps?"


def test_a_wrong_type_names_the_line_and_what_was_found() -> None:
    with pytest.raises(ConfigError, match=r"^x.yaml:2: branches: .*integer.*found 'many'"):
        parse_config("seed: 1\nbranches: many\n", origin="x.yaml")


def test_text_that_is_not_yaml_names_the_line() -> None:
    with pytest.raises(ConfigError, match=r"^x.yaml:2: not valid YAML"):
        parse_config("branches: 2\npolicy: ]\n", origin="x.yaml")


def test_a_list_instead_of_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a mapping"):
        parse_config("- a\n- b\n")


def test_overrides_reach_into_sections_and_are_typed() -> None:
    config = parse_config("branches: 2", ["branches=8", "budget.seconds=1.5", "policy.name=scripted"])
    assert (config.branches, config.budget.seconds, config.policy.name) == (8, 1.5, "scripted")


@pytest.mark.parametrize("override", ["branches", "=3", "branches.x.y=3"])
def test_a_malformed_override_is_named(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_config("branches: 2", [override])


def test_a_missing_file_says_where_configs_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="configs/"):
        load_config(tmp_path / "no.yaml")


def test_the_effective_config_reads_back_as_itself() -> None:
    config = load_config(CONFIGS / "quickstart.yaml", ["branches=3"])
    assert parse_config(config.yaml()) == config


def test_an_unknown_setting_in_an_optional_section_or_a_list_is_told_with_its_neighbours() -> None:
    policy = {"name": "openai"}
    for settings, words in (
        ({"judge": {"policy": policy, "budget": {"call": 1}}}, "judge.budget.call; did you mean calls?"),
        ({"verify": {"parts": [{"name": "build", "wieght": 1}]}}, "did you mean weight?"),
        ({"judge": {"policy": policy, "rubric": {"": "empty"}}}, "judge.rubric"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            parse_config(json.dumps(settings))
