"""A collection of shapes."""

from .base import Shape


class Scene:
    def __init__(self, shapes=()):
        self.shapes = []
        for shape in shapes:
            self.add(shape)

    def add(self, shape):
        if not isinstance(shape, Shape):
            raise TypeError(f"not a shape: {shape!r}")
        self.shapes.append(shape)

    def area(self):
        return sum(shape.area() for shape in self.shapes)

    def box(self):
        """(left, bottom, right, top), or None for an empty scene."""
        if not self.shapes:
            return None
        boxes = [shape.box() for shape in self.shapes]
        return (
            min(b[0] for b in boxes),
            min(b[1] for b in boxes),
            max(b[2] for b in boxes),
            max(b[3] for b in boxes),
        )
