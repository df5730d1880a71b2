"""Layered configuration."""

from .errors import ConfigError
from .layers import load, merge
from .environ import from_environ
from .references import resolve

__all__ = ["ConfigError", "from_environ", "load", "merge", "resolve"]
