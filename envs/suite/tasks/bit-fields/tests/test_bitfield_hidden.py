import itertools

import pytest

from bitfield import Field, FieldError, Register


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_mask(width):
    assert Field("f", 0, width).mask == 2**width - 1


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_signed_round_trip(width):
    field = Field("f", 0, width, signed=True)
    low, high = field.limits()
    assert (low, high) == (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    for value in range(low, high + 1):
        assert field.decode(field.encode(value)) == value


def test_all_combinations():
    register = Register(("a", 2), ("b", 3, "signed"), ("c", 1), size=6)
    for a, b, c in itertools.product(range(4), range(-4, 4), range(2)):
        for name, value in (("c", c), ("a", a), ("b", b)):
            register.set(name, value)
        assert register.as_dict() == {"a": a, "b": b, "c": c}
        assert register.value == a | (b & 7) << 2 | c << 5


def test_setting_over_old_bits():
    register = Register(("x", 4), ("y", 4), size=8)
    register.load(0xFF)
    register.set("x", 0)
    assert register.value == 0xF0
    register.set("y", 5)
    assert register.value == 0x50


def test_reading_a_loaded_value():
    register = Register(("x", 4), ("y", 4, "signed"), size=8)
    register.load(0x9A)
    assert register.as_dict() == {"x": 10, "y": -7}


def test_limits_are_enforced():
    register = Register(("s", 4, "signed"), ("u", 4))
    for name, value in (("s", 8), ("s", -9), ("u", 16), ("u", -1)):
        with pytest.raises(FieldError):
            register.set(name, value)
    assert register.value == 0


def test_layout_has_to_fit():
    with pytest.raises(FieldError):
        Register(("a", 33))
    with pytest.raises(FieldError):
        Register(("a", 0))
    with pytest.raises(FieldError):
        Register(("a", 4), size=8).load(256)


def test_unknown_fields_are_refused():
    register = Register(("a", 2))
    with pytest.raises(FieldError):
        register.set("b", 1)
    with pytest.raises(FieldError):
        register.get("b")
