from .base import Shape


class Rect(Shape):
    fields = ("x", "y", "width", "height")

    def area(self):
        return self.width * self.height

    def box(self):
        return (self.x, self.y, self.x + self.width, self.y + self.height)
