"""The `founding` resource: a governor without a session accepts invitations and reports on them.

peering/bootstrap.py describes the requests and carries them as plain CoAP.
"""

from collections.abc import Callable

from writ.errors import BadShape, NotFound, WrongMethod
from writ.wire import coap

from ...errors import HostError
from ..ledger.database import LEDGER_ERRORS
from .errors import InvitationRefused
from .manager import Ceremonies


class FoundingEndpoint:
    """Answers requests below `founding`. on_invitation: called after each invitation."""

    def __init__(self, ceremonies: Ceremonies, on_invitation: Callable[[], None]) -> None:
        self._ceremonies = ceremonies
        self._on_invitation = on_invitation

    def serve(
        self, method: int, path: tuple[str, ...], body: bytes, source: str
    ) -> tuple[int, bytes]:
        """The answer: (CoAP code, body). method: GET or POST; path: below `founding`; source:
        "host:port".

        Raises `NotFound`, `WrongMethod`, or another `Rejection` with a text for an invitation that
        is refused; `HostError` when the ledger fails.
        """
        if method == coap.POST:
            if path:
                raise WrongMethod()
            status = self._accept(body, source)
            self._on_invitation()
            return coap.CHANGED, status
        found = self._find(path)
        if found is None:
            raise NotFound()
        return coap.CONTENT, found

    def _accept(self, body: bytes, source: str) -> bytes:
        try:
            return self._ceremonies.accept_invitation(body, source)
        except LEDGER_ERRORS:
            # of this machine: no text of it is for a stranger
            raise
        except InvitationRefused as error:
            raise error.rejection(str(error)) from None
        except HostError as error:
            raise BadShape(str(error)) from None

    def _find(self, path: tuple[str, ...]) -> bytes | None:
        """The status of a ceremony (ID), or one of the capsules it made (ID/N)."""
        try:
            ceremony = bytes.fromhex(path[0]) if path else None
        except ValueError:
            ceremony = None
        if ceremony is None:
            return None
        if len(path) == 1:
            return self._ceremonies.status(ceremony)
        if len(path) == 2 and path[1].isascii() and path[1].isdecimal():
            return next(iter(self._ceremonies.result(ceremony)[int(path[1][:4]) :]), None)
        return None
