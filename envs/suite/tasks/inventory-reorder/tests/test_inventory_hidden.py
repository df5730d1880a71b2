import pytest

from inventory import Inventory, Item


@pytest.mark.parametrize(
    ("on_hand", "expected"),
    [(0, [("x", 30)]), (9, [("x", 21)]), (10, [("x", 20)]), (11, []), (30, [])],
)
def test_reorder_boundary(on_hand, expected):
    assert Inventory([Item("x", on_hand, reorder_point=10, target=30)]).reorder_list() == expected


def test_reserved_pieces_count_as_gone():
    stock = Inventory([Item("x", 15, reorder_point=10, target=30)])
    assert stock.reorder_list() == []
    assert stock.reserve("x", 5)
    assert stock.reorder_list() == [("x", 20)]
    stock.ship("x", 5)
    assert stock.reorder_list() == [("x", 20)]


def test_discontinued_items_are_never_ordered():
    stock = Inventory([Item("x", 10, 10, 30, discontinued=True), Item("y", 0, 10, 30, discontinued=True)])
    assert stock.reorder_list() == []


def test_list_is_sorted_and_rounded_to_packs():
    stock = Inventory([Item("b", 10, 10, 31, pack_size=7), Item("a", 1, 5, 20, pack_size=12)])
    assert stock.reorder_list() == [("a", 24), ("b", 21)]


def test_delivery_lifts_an_item_off_the_list():
    stock = Inventory([Item("x", 10, 10, 30)])
    stock.receive("x", 1)
    assert stock.reorder_list() == []
    with pytest.raises(ValueError):
        stock.receive("x", 0)


def test_shipping_needs_a_reservation():
    stock = Inventory([Item("x", 10, 2, 30)])
    with pytest.raises(ValueError):
        stock.ship("x", 1)


def test_reserve_exactly_everything():
    stock = Inventory([Item("x", 3, 1, 5)])
    assert stock.reserve("x", 3)
    assert not stock.reserve("x", 1)
