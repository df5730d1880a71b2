"""Where somebody asked for a policy, so that an error about it names a place where it can be mended."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True)
class Place:
    """A section of a config, or the options of a command."""

    section: str = "policy"  #: dotted path in the config; "": the command's own --policy and --option

    @property
    def name(self) -> str:
        """Where the policy's name stands."""
        return f"{self.section}.name" if self.section else "--policy"

    @property
    def options(self) -> str:
        """Where its options stand."""
        return f"{self.section}.options" if self.section else "--option"

    def option(self, name: str) -> str:
        """Where one of them stands."""
        return f"{self.options}.{name}" if self.section else f"--option {name}"

    def give(self, name: str) -> str:
        """How one of them is given in a call."""
        return f"--set {self.option(name)}=..." if self.section else f"--option {name}=..."


COMMAND = Place("")


class OptionError(ConfigError):
    """What a policy has to say of one of its options. `make_policy`, which knows the place, adds it."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"option {option}: {reason}")
        self.option, self.reason = option, reason

    def __reduce__(self) -> tuple[type[OptionError], tuple[str, str]]:
        return type(self), (self.option, self.reason)
