import pytest

from bitfield import FieldError, Register


def motor():
    return Register(("on", 1), ("mode", 2), ("speed", 5), ("trim", 4, "signed"))


def test_fields_do_not_disturb_each_other():
    register = motor()
    register.set("mode", 3)
    register.set("on", 1)
    assert register.as_dict() == {"on": 1, "mode": 3, "speed": 0, "trim": 0}


def test_set_and_get():
    register = motor()
    register.set("speed", 17)
    assert register.get("speed") == 17


def test_negative_value():
    register = motor()
    register.set("trim", -1)
    assert register.get("trim") == -1


def test_too_large():
    with pytest.raises(FieldError):
        motor().set("mode", 4)


def test_unknown_field():
    with pytest.raises(FieldError):
        motor().get("colour")


def test_packed_value():
    register = motor()
    register.set("on", 1)
    register.set("speed", 1)
    assert register.value == 0b1001
