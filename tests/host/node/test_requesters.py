"""The accounts of requesters: the last hour, bounded."""

from writ_host.node.requesters import REQUESTERS_MAX, Requesters

HOUR_MS = 3_600_000


def test_what_is_older_than_an_hour_does_not_count() -> None:
    accounts = Requesters()
    accounts.charge(7, 1000, 0)
    accounts.charge(7, 500, HOUR_MS)
    accounts.charge(8, 700, HOUR_MS)
    assert list(accounts.spent(HOUR_MS)) == [(7, 1500, 2), (8, 700, 1)]
    assert list(accounts.spent(HOUR_MS + 300_000)) == [(8, 700, 1), (7, 500, 1)]
    assert list(accounts.spent(3 * HOUR_MS)) == []


def test_the_table_is_bounded() -> None:
    accounts = Requesters()
    for address in range(REQUESTERS_MAX + 10):
        accounts.charge(address, 1, 0)
        accounts.charge(0, 1, 0)
    found = list(accounts.spent(0))
    assert len(found) == REQUESTERS_MAX and found[0][0] == 0
    assert 1 not in [address for address, _, _ in found]
    # an old piece of an account goes when it is charged
    for hours in range(100):
        accounts.charge(0, 1, hours * HOUR_MS)
    assert len(accounts._rows[0]) <= 2
