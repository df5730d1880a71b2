#!/bin/bash
# Merging works key by key; references are followed until none is left; values from the environment get a type.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "settings/layers.py",
    '''\
    merged = dict(base)
    merged.update(over)
    return merged
''',
    '''\
    merged = {key: merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged
''',
)
replace(
    "settings/environ.py",
    '''\
def from_environ(environ, prefix="APP_"):
''',
    '''\
def convert(text):
    """The value a text stands for: an integer, a truth value, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    digits = text[1:] if text[:1] in ("-", "+") else text
    if digits.isascii() and digits.isdigit():
        return int(text)
    return text


def from_environ(environ, prefix="APP_"):
''',
)
replace(
    "settings/environ.py",
    '''\
        place[key] = environ[name]
''',
    '''\
        place[key] = convert(environ[name])
''',
)
replace(
    "settings/references.py",
    '''\
    def replace(text):
        return REFERENCE.sub(lambda match: str(lookup(config, match.group(1))), text)

    def walk(value):
        if isinstance(value, str):
            return replace(value)
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        return value

    return walk(config)
''',
    '''\
    def follow(path, seen):
        if path in seen:
            raise ConfigError("settings refer to each other: " + " -> ".join([*seen, path]))
        return walk(lookup(config, path), (*seen, path))

    def replace(text, seen):
        alone = REFERENCE.fullmatch(text)
        if alone:
            return follow(alone.group(1), seen)
        return REFERENCE.sub(lambda match: str(follow(match.group(1), seen)), text)

    def walk(value, seen=()):
        if isinstance(value, str):
            return replace(value, seen)
        if isinstance(value, dict):
            return {key: walk(inner, seen) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, seen) for inner in value]
        return value

    return walk(config)
''',
)
EOF
