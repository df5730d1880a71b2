"""Splitting a long listing into pages."""


class PageError(LookupError):
    """A page that does not exist was asked for."""


class Paginator:
    """Pages of `size` items each, numbered from 1."""

    def __init__(self, items, size=20):
        if size < 1:
            raise ValueError("a page holds at least one item")
        self.items = list(items)
        self.size = size

    @property
    def pages(self):
        full, rest = divmod(len(self.items), self.size)
        if rest >= 0:
            full += 1
        return max(1, full)

    def page(self, number):
        if not 1 <= number <= self.pages:
            raise PageError(f"page {number} of {self.pages}")
        start = (number - 1) * self.size
        return self.items[start : start + self.size]

    def label(self, number):
        """Like "21-40 of 41"; "0 of 0" when there is nothing."""
        shown = self.page(number)
        if not shown:
            return "0 of 0"
        first = (number - 1) * self.size + 1
        return f"{first}-{first + len(shown) - 1} of {len(self.items)}"

    def links(self, current, around=1):
        """Page numbers to link to: first, last, and some around the current one; None is a gap."""
        wanted = {1, self.pages}
        for number in range(current - around, current + around + 1):
            if 1 <= number <= self.pages:
                wanted.add(number)
        numbers = []
        for number in sorted(wanted):
            if numbers and number - numbers[-1] > 1:
                numbers.append(None)
            numbers.append(number)
        return numbers
