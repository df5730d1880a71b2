"""Accounts and transfers; all amounts are whole cents."""


class InsufficientFunds(Exception):
    """The account does not hold enough, overdraft included."""


class Account:
    def __init__(self, owner, balance=0, overdraft=0):
        if overdraft < 0:
            raise ValueError("an overdraft cannot be negative")
        self.owner = owner
        self.balance = balance
        self.overdraft = overdraft
        self.history = []

    def available(self):
        """The most that can be taken out now."""
        return self.balance - self.overdraft

    def deposit(self, cents, note=""):
        if cents <= 0:
            raise ValueError("a deposit is positive")
        self.balance += cents
        self.history.append((cents, note))

    def withdraw(self, cents, note=""):
        if cents <= 0:
            raise ValueError("a withdrawal is positive")
        if cents > self.available():
            raise InsufficientFunds(f"{self.owner} has {self.available()} available")
        self.balance -= cents
        self.history.append((-cents, note))


def transfer(source, target, cents):
    """Move money; when it fails neither account has changed."""
    source.withdraw(cents, f"to {target.owner}")
    target.deposit(cents, f"from {source.owner}")


def monthly_interest(account, percent):
    """Debit interest in cents on a negative balance, rounded down; 0 for others."""
    if account.balance >= 0:
        return 0
    return -account.balance * percent // 1200


def statement(account):
    """Lines of a statement with the running balance, opening balance first."""
    running = account.balance - sum(cents for cents, _ in account.history)
    lines = [f"opening {running}"]
    for cents, note in account.history:
        running += cents
        lines.append(f"{cents:+d} {note} = {running}")
    return lines
