"""The books of a node beside the channel: each way in which they can be wrong is found."""

import pytest
from field.books import HOUR_US, MINUTE_US, Books, WrongBooks
from field.field import Field, Plan


def test_what_was_on_air_is_in_the_books() -> None:
    books = Books()
    books.take(0, 100)
    books.send(30 * MINUTE_US, 100)
    books.check(30 * MINUTE_US, 100)
    with pytest.raises(WrongBooks, match="100 us on air in an hour, and 99 us"):
        books.check(30 * MINUTE_US, 99)
    # an hour later it counts no more
    books.check(30 * MINUTE_US + HOUR_US, 0)


def test_the_books_hold_no_more_than_was_taken() -> None:
    books = Books()
    books.take(0, 100)
    books.send(0, 100)
    with pytest.raises(WrongBooks, match="200 us in the books, and the link has taken 100 us"):
        books.check(0, 200)
    # buckets of a minute: up to two minutes longer than an hour
    books.check(HOUR_US + 2 * MINUTE_US - 1, 100)
    with pytest.raises(WrongBooks, match="taken 0 us"):
        books.check(HOUR_US + 2 * MINUTE_US, 100)


def test_a_frame_that_was_taken_was_sent_or_waits_or_was_dropped() -> None:
    books = Books()
    books.take(0, 100)
    books.check(0, 100, waiting_us=100)
    with pytest.raises(WrongBooks, match="on air 0 us, dropped 0 us"):
        books.check(0, 100)
    books.drop(100)
    books.check(0, 100)
    assert books.dropped_us == 100


def test_a_field_compares_the_books_of_each_member() -> None:
    field = Field(Plan(nodes=2, seed=1, boot_s=10))
    field.run(300)
    budget = field.members[1].frames.mesh.outbox.budgets[0]
    budget.charge(field.members[1].now_ms, 1_000_000, 0, None)
    with pytest.raises(WrongBooks):
        field.run(120)
