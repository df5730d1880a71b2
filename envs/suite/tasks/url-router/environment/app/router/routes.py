"""Routes and the search for one."""

from .errors import MethodNotAllowed, NotFound
from .escapes import decode, encode


def split(path):
    return [part for part in path.split("/") if part]


class Route:
    def __init__(self, pattern, handler, methods, name):
        self.pattern = pattern
        self.segments = split(pattern)
        self.handler = handler
        self.methods = frozenset(methods)
        self.name = name

    def match(self, path):
        """The parameters when the path fits, else None."""
        parts = split(decode(path))
        if len(parts) != len(self.segments):
            return None
        params = {}
        for segment, part in zip(self.segments, parts):
            if segment.startswith("<"):
                params[segment[1:-1]] = part
            elif segment != part:
                return None
        return params


class Router:
    def __init__(self):
        self._routes = []

    def add(self, pattern, handler, methods=("GET",), name=None):
        self._routes.append(Route(pattern, handler, methods, name))

    def find(self, method, path):
        """(handler, parameters) for a request."""
        for route in self._routes:
            params = route.match(path)
            if params is not None:
                if method not in route.methods:
                    raise MethodNotAllowed(sorted(route.methods))
                return route.handler, params
        raise NotFound(path)

    def build(self, name, **values):
        """The path of a named route."""
        for route in self._routes:
            if route.name == name:
                parts = []
                for segment in route.segments:
                    if segment.startswith("<"):
                        parts.append(encode(str(values[segment[1:-1]])))
                    else:
                        parts.append(segment)
                return "/" + "/".join(parts)
        raise KeyError(name)
