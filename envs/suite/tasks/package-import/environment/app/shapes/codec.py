"""Scenes as text: one shape per line, its name and its numbers."""

from .scene import Scene

REGISTRY = {}


def load(text):
    """The scene in a text; empty lines and lines starting with # are skipped."""
    scene = Scene()
    for number, line in enumerate(text.splitlines(), start=1):
        name, *values = line.split("#", 1)[0].split() or [None]
        if name is None:
            continue
        if name not in REGISTRY:
            raise ValueError(f"line {number}: unknown shape {name!r}")
        scene.add(REGISTRY[name](*map(float, values)))
    return scene


def dump(scene):
    lines = []
    for shape in scene.shapes:
        numbers = " ".join(f"{value:g}" for value in shape.values())
        lines.append(f"{type(shape).__name__.lower()} {numbers}\n")
    return "".join(lines)
