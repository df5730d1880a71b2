"""Stock levels and the evening reorder list."""

from dataclasses import dataclass


@dataclass
class Item:
    """One article in the warehouse; all amounts are single pieces."""

    sku: str
    on_hand: int
    reorder_point: int
    target: int
    reserved: int = 0
    pack_size: int = 1
    discontinued: bool = False

    def available(self):
        return self.on_hand - self.reserved


class Inventory:
    def __init__(self, items=()):
        self._items = {item.sku: item for item in items}

    def get(self, sku):
        if sku not in self._items:
            raise KeyError(f"no such item: {sku}")
        return self._items[sku]

    def receive(self, sku, pieces):
        if pieces <= 0:
            raise ValueError("a delivery has at least one piece")
        self.get(sku).on_hand += pieces

    def reserve(self, sku, pieces):
        item = self.get(sku)
        if pieces > item.available():
            return False
        item.reserved += pieces
        return True

    def ship(self, sku, pieces):
        """Take reserved pieces out of the warehouse."""
        item = self.get(sku)
        if pieces > item.reserved:
            raise ValueError(f"only {item.reserved} of {sku} are reserved")
        item.reserved -= pieces
        item.on_hand -= pieces

    def is_due(self, item):
        if item.discontinued:
            return False
        return item.available() < item.reorder_point

    def reorder_list(self):
        """(sku, pieces) for every item that has to be ordered, sorted by sku."""
        orders = []
        for item in self._items.values():
            if not self.is_due(item):
                continue
            missing = item.target - item.available()
            packs = -(-missing // item.pack_size)
            orders.append((item.sku, packs * item.pack_size))
        return sorted(orders)
