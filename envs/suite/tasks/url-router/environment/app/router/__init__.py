from .errors import MethodNotAllowed, NotFound
from .routes import Router

__all__ = ["MethodNotAllowed", "NotFound", "Router"]
