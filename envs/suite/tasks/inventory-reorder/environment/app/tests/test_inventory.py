import pytest

from inventory import Inventory, Item


def test_item_below_the_reorder_point_is_ordered():
    stock = Inventory([Item("nail", on_hand=5, reorder_point=10, target=50)])
    assert stock.reorder_list() == [("nail", 45)]


def test_item_at_the_reorder_point_is_ordered():
    stock = Inventory([Item("hinge", on_hand=20, reorder_point=20, target=60)])
    assert stock.reorder_list() == [("hinge", 40)]


def test_item_above_the_reorder_point_is_left_alone():
    stock = Inventory([Item("bolt", on_hand=21, reorder_point=20, target=60)])
    assert stock.reorder_list() == []


def test_whole_packs_are_ordered():
    stock = Inventory([Item("screw", on_hand=3, reorder_point=10, target=50, pack_size=20)])
    assert stock.reorder_list() == [("screw", 60)]


def test_reserving_more_than_available_is_refused():
    stock = Inventory([Item("hinge", on_hand=4, reorder_point=1, target=9)])
    assert not stock.reserve("hinge", 5)
    assert stock.reserve("hinge", 4)


def test_unknown_item_is_an_error():
    with pytest.raises(KeyError):
        Inventory().get("ghost")
