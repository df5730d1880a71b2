"""A vending machine: coins in, a product and change out."""

COINS = (1, 2, 5, 10, 20, 50, 100, 200)


class VendingError(Exception):
    pass


class SoldOut(VendingError):
    pass


class NotEnough(VendingError):
    pass


class NoChange(VendingError):
    pass


class CoinStore:
    """The coins inside of the machine."""

    def __init__(self, coins=None):
        self.coins = {coin: 0 for coin in COINS}
        for coin, count in (coins or {}).items():
            self.coins[coin] += count

    def total(self):
        return sum(coin * count for coin, count in self.coins.items())

    def add(self, coin):
        self.coins[coin] += 1

    def change(self, amount):
        """Coins that make up the amount, largest first, or None; nothing is taken out."""
        chosen = []
        for coin in sorted(COINS, reverse=False):
            count = min(amount // coin, self.coins[coin])
            chosen.extend([coin] * count)
            amount -= coin * count
        if amount:
            return None
        return chosen

    def remove(self, coins):
        for coin in coins:
            if self.coins[coin] == 0:
                raise VendingError(f"no {coin} coin left")
            self.coins[coin] -= 1


class VendingMachine:
    """States: idle (no credit) and paying (some coins were put in)."""

    def __init__(self, products, coins=None):
        self.products = {name: list(entry) for name, entry in products.items()}  # name: [price, count]
        self.store = CoinStore(coins)
        self.inserted = []

    @property
    def credit(self):
        return sum(self.inserted)

    @property
    def state(self):
        return "paying" if self.inserted else "idle"

    def insert(self, coin):
        if coin not in COINS:
            raise VendingError(f"not a coin: {coin}")
        self.inserted.append(coin)
        self.store.add(coin)

    def cancel(self):
        """Give back what was put in."""
        coins = self.inserted
        self.store.remove(coins)
        self.inserted = []
        return coins

    def buy(self, name):
        """Hand out a product; returns the change as a list of coins."""
        if name not in self.products:
            raise VendingError(f"no such product: {name}")
        price, count = self.products[name]
        if count == 0:
            raise SoldOut(name)
        if self.credit <= price:
            raise NotEnough(f"{price - self.credit} cents missing")
        change = self.store.change(self.credit - price)
        if change is None:
            raise NoChange("exact change only")
        self.store.remove(change)
        self.products[name][1] = count - 1
        self.inserted = []
        return change
