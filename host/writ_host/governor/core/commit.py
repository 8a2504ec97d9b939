"""One commit for each call: its outputs depend only on what is on the disk."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from writ.errors import Rejection

from ...errors import HostError
from ..ledger.database import LEDGER_ERRORS
from ..ledger.ledger import Ledger


class Committing(Protocol):
    """An object whose calls write to a ledger. failure: the error that ended it, None for none."""

    ledger: Ledger
    failure: Exception | None


P = ParamSpec("P")
S = TypeVar("S", bound=Committing)
T = TypeVar("T")


def one_commit(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Commit all writes of a call with one fsync before the call returns.

    After a failed commit the memory may be ahead of the disk, and after a defect (an error that is
    no refusal) it may be half changed. So the object raises the same error in every later call,
    and its successor starts from the disk.
    """

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.failure is not None:
            raise self.failure
        try:
            with self.ledger.at_once():
                return method(self, *args, **kwargs)
        except Exception as error:
            is_refusal = isinstance(error, HostError | Rejection)
            if not is_refusal or isinstance(error, LEDGER_ERRORS):
                self.failure = error
            raise

    return call
