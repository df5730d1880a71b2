"""References like ${server.host} inside of settings."""

import re

from .errors import ConfigError

REFERENCE = re.compile(r"\$\{([^}]*)\}")


def lookup(config, path):
    value = config
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise ConfigError(f"no setting {path!r}")
        value = value[key]
    return value


def resolve(config):
    """A copy of the settings in which all references are replaced."""

    def replace(text):
        return REFERENCE.sub(lambda match: str(lookup(config, match.group(1))), text)

    def walk(value):
        if isinstance(value, str):
            return replace(value)
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        return value

    return walk(config)
