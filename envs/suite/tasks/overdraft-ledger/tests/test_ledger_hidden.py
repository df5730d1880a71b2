import pytest

from ledger import Account, InsufficientFunds, monthly_interest, statement, transfer


@pytest.mark.parametrize("overdraft", [0, 1, 100])
def test_exactly_everything_can_be_taken(overdraft):
    account = Account("x", 50, overdraft)
    account.withdraw(50 + overdraft)
    assert account.balance == -overdraft
    with pytest.raises(InsufficientFunds):
        account.withdraw(1)


def test_available_when_already_negative():
    account = Account("x", -30, overdraft=100)
    assert account.available() == 70


def test_refused_withdrawal_leaves_no_trace():
    account = Account("x", 5, overdraft=5)
    with pytest.raises(InsufficientFunds):
        account.withdraw(11)
    assert account.balance == 5 and account.history == []


def test_transfer_from_overdraft():
    a, b = Account("a", 0, overdraft=500), Account("b")
    transfer(a, b, 500)
    assert (a.balance, b.balance) == (-500, 500)
    with pytest.raises(InsufficientFunds):
        transfer(a, b, 1)
    assert (a.balance, b.balance) == (-500, 500)


def test_amounts_are_positive():
    account = Account("a", 10)
    for bad in (0, -5):
        with pytest.raises(ValueError):
            account.deposit(bad)
        with pytest.raises(ValueError):
            account.withdraw(bad)


def test_overdraft_is_not_negative():
    with pytest.raises(ValueError):
        Account("a", 0, overdraft=-1)


def test_statement_with_overdraft():
    account = Account("a", 100, overdraft=100)
    account.withdraw(150, "rent")
    account.deposit(20, "gift")
    assert statement(account) == ["opening 100", "-150 rent = -50", "+20 gift = -30"]


def test_interest():
    assert monthly_interest(Account("a", -100), 12) == 1
    assert monthly_interest(Account("a", 100), 12) == 0


def test_without_an_agreed_overdraft_there_is_none():
    account = Account("a", 5)
    assert account.available() == 5
    with pytest.raises(InsufficientFunds):
        account.withdraw(6)
