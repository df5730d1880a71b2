"""Conversion between units of the same kind."""

# unit: (kind, factor, offset); base = (value + offset) * factor
UNITS = {
    "m": ("length", 1.0, 0.0),
    "km": ("length", 1000.0, 0.0),
    "cm": ("length", 0.01, 0.0),
    "in": ("length", 0.0254, 0.0),
    "ft": ("length", 0.3048, 0.0),
    "kg": ("mass", 1.0, 0.0),
    "g": ("mass", 0.001, 0.0),
    "lb": ("mass", 0.45359237, 0.0),
    "C": ("temperature", 1.0, 0.0),
    "K": ("temperature", 1.0, -273.15),
    "F": ("temperature", 5 / 9, -32.0),
}


class UnitError(ValueError):
    """An unknown unit, or two units that do not fit together."""


def lookup(unit):
    if unit not in UNITS:
        raise UnitError(f"unknown unit {unit!r}")
    return UNITS[unit]


def to_base(value, unit):
    _, factor, offset = lookup(unit)
    return (value + offset) * factor


def from_base(value, unit):
    _, factor, offset = lookup(unit)
    return value / factor + offset


def convert(value, source, target):
    """The same quantity in another unit."""
    if lookup(source)[0] != lookup(target)[0]:
        raise UnitError(f"cannot convert {source} to {target}")
    if source == target:
        return value
    return from_base(to_base(value, source), target)


def parse_quantity(text):
    """"3.5 km" -> (3.5, "km")."""
    number, _, unit = text.strip().partition(" ")
    lookup(unit.strip())
    return float(number), unit.strip()


def format_quantity(value, unit, digits=2):
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}"
