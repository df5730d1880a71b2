"""Putting layers of configuration on top of each other."""

from .environ import from_environ
from .references import resolve


def merge(base, over):
    """A new dict with the settings of `over` on top of those of `base`."""
    merged = dict(base)
    merged.update(over)
    return merged


def load(layers, environ=None, prefix="APP_"):
    """Merge layers, lowest first, then the environment, and resolve references."""
    merged = {}
    for layer in layers:
        merged = merge(merged, layer)
    if environ:
        merged = merge(merged, from_environ(environ, prefix))
    return resolve(merged)
