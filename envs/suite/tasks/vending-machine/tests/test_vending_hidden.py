import pytest

from vending import CoinStore, NoChange, NotEnough, SoldOut, VendingError, VendingMachine


def pay(vm, *coins):
    for coin in coins:
        vm.insert(coin)
    return vm


def test_change_is_made_of_the_largest_coins():
    store = CoinStore({1: 50, 5: 10, 20: 10, 50: 3, 200: 1})
    assert store.change(396) == [200, 50, 50, 50, 20, 20, 5, 1]
    assert store.change(0) == []


def test_change_uses_what_is_there():
    assert CoinStore({50: 1, 10: 9}).change(120) == [50] + [10] * 7
    assert CoinStore({50: 1}).change(60) is None


def test_asking_for_change_takes_nothing():
    store = CoinStore({10: 3})
    store.change(20)
    assert store.total() == 30


def test_money_is_conserved():
    vm = VendingMachine({"tea": (130, 3)}, {10: 10, 20: 5, 50: 2})
    before = vm.store.total()
    assert sum(pay(vm, 200).buy("tea")) == 70
    assert vm.store.total() == before + 130


def test_next_customer_has_no_credit():
    vm = VendingMachine({"tea": (50, 3)}, {})
    pay(vm, 20, 10, 10, 10).buy("tea")
    assert vm.credit == 0
    with pytest.raises(NotEnough):
        vm.buy("tea")
    assert vm.cancel() == []


def test_no_change_keeps_everything():
    vm = VendingMachine({"tea": (150, 1)}, {20: 1})
    with pytest.raises(NoChange):
        pay(vm, 200).buy("tea")
    assert vm.credit == 200 and vm.products["tea"][1] == 1
    assert vm.cancel() == [200] and vm.store.total() == 20


def test_inserted_coins_can_be_change():
    vm = VendingMachine({"gum": (30, 1)}, {})
    assert pay(vm, 20, 10, 10).buy("gum") == [10]


def test_sells_until_sold_out():
    vm = VendingMachine({"gum": (50, 2)}, {})
    pay(vm, 50).buy("gum")
    pay(vm, 50).buy("gum")
    with pytest.raises(SoldOut):
        pay(vm, 50).buy("gum")


def test_foreign_coin_and_product():
    vm = VendingMachine({"gum": (50, 2)}, {})
    with pytest.raises(VendingError):
        vm.insert(3)
    with pytest.raises(VendingError):
        vm.buy("rope")
    assert vm.state == "idle"
