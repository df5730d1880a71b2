from .base import Shape


class Circle(Shape):
    fields = ("x", "y", "radius")

    def area(self):
        return 3.141592653589793 * self.radius**2

    def box(self):
        return (self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)
