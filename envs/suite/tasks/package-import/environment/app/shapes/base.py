"""The common base of all shapes."""

from .codec import REGISTRY


class Shape:
    """A shape; its fields are numbers, named in `fields`."""

    fields = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        REGISTRY[cls.__name__.lower()] = cls

    def __init__(self, *values):
        if len(values) != len(self.fields):
            raise TypeError(f"{type(self).__name__} has {len(self.fields)} fields")
        for name, value in zip(self.fields, values):
            setattr(self, name, value)

    def values(self):
        return [getattr(self, name) for name in self.fields]

    def __eq__(self, other):
        return type(self) is type(other) and self.values() == other.values()
