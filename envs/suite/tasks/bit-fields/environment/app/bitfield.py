"""Named bit fields in an integer register."""


class FieldError(ValueError):
    """An unknown field or a value that does not fit."""


class Field:
    """`width` bits from bit `offset` upwards."""

    def __init__(self, name, offset, width, signed=False):
        self.name = name
        self.offset = offset
        self.width = width
        self.signed = signed

    @property
    def mask(self):
        """The field's bits, moved to bit 0."""
        return (1 << self.width + 1) - 1

    def limits(self):
        """The smallest and the largest value that fit."""
        if self.signed:
            half = 1 << (self.width - 1)
            return -half, half - 1
        return 0, (1 << self.width) - 1

    def encode(self, value):
        low, high = self.limits()
        if not low <= value <= high:
            raise FieldError(f"{value} does not fit into {self.name} ({low}..{high})")
        return value & self.mask

    def decode(self, bits):
        if self.signed and bits >> (self.width - 1):
            return bits - (1 << (self.width - 1))
        return bits


class Register:
    """Fields packed from bit 0 upwards, in the order given: (name, width) or (name, width, "signed")."""

    def __init__(self, *layout, size=32):
        self.fields = {}
        self.value = 0
        self.size = size
        offset = 0
        for name, width, *kind in layout:
            if width < 1:
                raise FieldError(f"{name} has no bits")
            self.fields[name] = Field(name, offset, width, signed="signed" in kind)
            offset += width
        if offset > size:
            raise FieldError(f"{offset} bits do not fit into {size}")

    def _field(self, name):
        if name not in self.fields:
            raise FieldError(f"no field {name!r}")
        return self.fields[name]

    def get(self, name):
        field = self._field(name)
        return field.decode((self.value >> field.offset) & field.mask)

    def set(self, name, value):
        field = self._field(name)
        bits = field.encode(value)
        cleared = self.value & ~(field.mask << field.offset)
        self.value = cleared | (bits << field.offset)

    def load(self, value):
        """Take over a whole register value."""
        if not 0 <= value < 1 << self.size:
            raise FieldError(f"{value} is no {self.size}-bit value")
        self.value = value

    def as_dict(self):
        return {name: self.get(name) for name in self.fields}
