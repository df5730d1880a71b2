import pytest

from vending import NoChange, NotEnough, SoldOut, VendingMachine

FLOAT = {10: 10, 20: 5, 50: 4}


def machine():
    return VendingMachine({"tea": (140, 2), "cola": (100, 0)}, FLOAT)


def pay(vm, *coins):
    for coin in coins:
        vm.insert(coin)
    return vm


def test_exact_payment():
    assert pay(machine(), 100, 20, 20).buy("tea") == []


def test_change_in_large_coins():
    assert pay(machine(), 200).buy("tea") == [50, 10]


def test_no_credit_after_a_sale():
    vm = pay(machine(), 100, 50)
    vm.buy("tea")
    assert vm.credit == 0 and vm.state == "idle"


def test_too_little_money():
    vm = pay(machine(), 100)
    with pytest.raises(NotEnough):
        vm.buy("tea")
    assert vm.credit == 100


def test_sold_out():
    with pytest.raises(SoldOut):
        pay(machine(), 100).buy("cola")


def test_cancel():
    vm = pay(machine(), 20, 10)
    assert vm.cancel() == [20, 10] and vm.state == "idle"


def test_no_change():
    vm = VendingMachine({"tea": (140, 1)})
    with pytest.raises(NoChange):
        pay(vm, 200).buy("tea")
