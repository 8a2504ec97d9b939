"""Why a daemon refuses an invitation, or an operator's decision about a ceremony."""

from writ.errors import NotAllowed, RateLimited, Rejection, TableFull, WrongScope

from ...errors import HostError


class NoDecisionDue(HostError):
    """A decision that this governor's operator cannot make now."""

    advice = "See writ governor pending: you can approve once the fingerprint is shown."


class InvitationRefused(HostError):
    """An invitation that this daemon does not accept. rejection: what its sender is told."""

    advice = "See writ governor pending at that governor; deny unwanted ceremonies there."
    rejection: type[Rejection] = TableFull


class TooManyInvitations(InvitationRefused):
    """An invitation that arrives too soon after another one."""

    advice = "Try again in a moment."
    rejection = RateLimited


class InvitationDropped(InvitationRefused):
    """An invitation that the operator has denied, or that another one has replaced."""

    advice = "Make a new one."
    rejection = NotAllowed


class HasSeat(InvitationRefused):
    """An invitation that this daemon will never accept: it governs a scope."""

    advice = "A governor has one scope: make another governor for a second scope."
    rejection = WrongScope


class ChangeRunning(HostError):
    """A change of governors that is under way already, or is not in force yet."""

    advice = (
        "Follow it: writ governor pending DIR. To begin anew, deny it first: writ governor deny DIR"
        " ID"
    )
