#!/bin/bash
# Matching has to be a search over a tree of segments, ordered by how specific a segment is.
set -euo pipefail

cat > router/routes.py <<'EOF'
"""Routes and the search for one."""

from .errors import MethodNotAllowed, NotFound
from .escapes import decode, encode

#: how specific a kind of segment is, best first
ORDER = {"static": 0, "int": 1, "text": 2, "path": 3}


def split(path):
    return [part for part in path.split("/") if part]


class Segment:
    """One part of a pattern: static text or a parameter."""

    def __init__(self, text, last):
        self.kind, self.name = "static", text
        if text.startswith("<") and text.endswith(">"):
            kind, colon, name = text[1:-1].partition(":")
            self.kind, self.name = (kind, name) if colon else ("text", kind)
            if self.kind not in ("int", "text", "path"):
                raise ValueError(f"unknown converter in {text!r}")
            if self.kind == "path" and not last:
                raise ValueError(f"{text!r} has to be the last segment")

    def fits(self, part):
        if self.kind == "static":
            return self.name == part
        return self.kind != "int" or (part.isascii() and part.isdigit())


class Route:
    def __init__(self, pattern, handler, methods, name):
        texts = split(pattern)
        self.pattern = pattern
        self.segments = [Segment(text, i == len(texts) - 1) for i, text in enumerate(texts)]
        self.handler = handler
        self.methods = frozenset(methods)
        self.name = name
        self.rank = [ORDER[segment.kind] for segment in self.segments]

    def match(self, parts):
        """The parameters when the decoded parts of a path fit, else None."""
        params = {}
        for at, segment in enumerate(self.segments):
            if at >= len(parts):
                return None
            if segment.kind == "path":
                params[segment.name] = "/".join(parts[at:])
                return params
            if not segment.fits(parts[at]):
                return None
            if segment.kind == "int":
                params[segment.name] = int(parts[at])
            elif segment.kind == "text":
                params[segment.name] = parts[at]
        return params if len(parts) == len(self.segments) else None


class Router:
    def __init__(self):
        self._routes = []

    def add(self, pattern, handler, methods=("GET",), name=None):
        self._routes.append(Route(pattern, handler, methods, name))

    def find(self, method, path):
        """(handler, parameters) for a request."""
        parts = [decode(part) for part in split(path)]
        allowed = set()
        # Ranks compare segment by segment from the left; the sort is stable.
        for route in sorted(self._routes, key=lambda route: route.rank):
            params = route.match(parts)
            if params is None:
                continue
            if method in route.methods:
                return route.handler, params
            allowed |= route.methods
        if allowed:
            raise MethodNotAllowed(sorted(allowed))
        raise NotFound(path)

    def build(self, name, **values):
        """The path of a named route."""
        for route in self._routes:
            if route.name == name:
                return "/" + "/".join(self._fill(segment, values) for segment in route.segments)
        raise KeyError(name)

    @staticmethod
    def _fill(segment, values):
        if segment.kind == "static":
            return segment.name
        value = str(values[segment.name])
        if segment.kind == "path":
            return "/".join(encode(part) for part in split(value))
        return encode(value)
EOF
