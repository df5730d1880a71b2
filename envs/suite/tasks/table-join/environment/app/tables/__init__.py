from .csvtext import parse, render
from .joining import join
from .table import Table

__all__ = ["Table", "join", "parse", "render"]
