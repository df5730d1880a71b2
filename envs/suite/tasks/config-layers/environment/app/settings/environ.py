"""Settings from environment variables."""


def from_environ(environ, prefix="APP_"):
    """A nested dict; "__" in a variable's name separates the levels."""
    found = {}
    for name in sorted(environ):
        if not name.startswith(prefix):
            continue
        *sections, key = name[len(prefix) :].lower().split("__")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = environ[name]
    return found
