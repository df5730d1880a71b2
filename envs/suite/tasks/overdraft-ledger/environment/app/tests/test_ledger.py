import pytest

from ledger import Account, InsufficientFunds, monthly_interest, statement, transfer


def test_deposit_and_withdrawal():
    account = Account("ann", 100)
    account.deposit(50)
    account.withdraw(120)
    assert account.balance == 30


def test_overdraft_can_be_used():
    account = Account("bob", 150, overdraft=100)
    account.withdraw(230)
    assert account.balance == -80


def test_no_more_than_the_overdraft():
    account = Account("bob", 0, overdraft=100)
    with pytest.raises(InsufficientFunds):
        account.withdraw(101)


def test_transfer():
    a, b = Account("ann", 100), Account("bob")
    transfer(a, b, 60)
    assert (a.balance, b.balance) == (40, 60)


def test_failed_transfer_changes_nothing():
    a, b = Account("ann", 10), Account("bob")
    with pytest.raises(InsufficientFunds):
        transfer(a, b, 60)
    assert (a.balance, b.balance) == (10, 0)


def test_statement():
    account = Account("ann", 10)
    account.deposit(5, "pay")
    assert statement(account) == ["opening 10", "+5 pay = 15"]


def test_interest_on_debt():
    assert monthly_interest(Account("ann", -12000), 10) == 100
