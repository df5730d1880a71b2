"""An invoice with lines at several tax rates."""

from .allocation import allocate
from .money import round_half_even


class Invoice:
    def __init__(self, discount=0):
        if discount < 0:
            raise ValueError("a discount is not negative")
        self.discount = discount
        self.lines = []

    def add(self, text, quantity, unit_price, rate):
        """A line; the price in cents per piece, the rate per mille."""
        if quantity < 1 or unit_price < 0:
            raise ValueError("a line needs a quantity and a price")
        self.lines.append((text, quantity * unit_price, rate))

    def gross_lines(self):
        return [amount for _, amount, _ in self.lines]

    def discounted(self):
        """Line amounts after the discount."""
        amounts = self.gross_lines()
        if not self.discount:
            return amounts
        if self.discount > sum(amounts):
            raise ValueError("the discount is larger than the invoice")
        shares = allocate(self.discount, amounts)
        return [amount - share for amount, share in zip(amounts, shares)]

    def net(self):
        return sum(self.discounted())

    def tax(self):
        """{rate: cents}."""
        taxes = {}
        for (_, amount, rate) in self.lines:
            taxes[rate] = taxes.get(rate, 0) + round_half_even(amount * rate, 1000)
        return taxes

    def total(self):
        return self.net() + sum(self.tax().values())
