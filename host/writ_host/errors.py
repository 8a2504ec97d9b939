"""Errors that an operator can resolve: each has a message and advice.

Wrong use of an interface by code is a `writ.errors.UsageError`, as in the device core.
"""

from collections.abc import Iterable


class HostError(Exception):
    """The base class. `str(error)` states what happened, `error.advice` what to do next."""

    advice = "Run the step again; if it fails again, start a new ceremony."

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        if advice is not None:
            self.advice = advice


class Malformed(HostError):
    """Bytes that do not have the expected structure."""

    advice = "The file has another content than its name says, or another version of Writ wrote it."


class DamagedFile(HostError):
    """A file that is damaged, or that Writ did not write."""

    advice = "Restore the file from a backup, or have new shares dealt: writ governor change."


class WrongPassphrase(HostError):
    """This passphrase or key file does not decrypt the file: it, or the file, is wrong."""

    advice = (
        "Try again. If you are sure of it, the file is damaged: restore it from a backup. A lost"
        " passphrase cannot be recovered."
    )


class WeakPassphrase(HostError):
    """An empty passphrase, a new one that is too short, or a key file that is too short."""

    advice = "Give a passphrase, or a key file of at least 32 random bytes."


class HpkeOpenError(HostError):
    """A sealed message that this governor's key does not decrypt."""

    advice = "The message was sealed to another key, or altered in transit."


class BadEnvelope(HostError):
    """A ceremony message that the governor named in it did not sign."""

    advice = "The file was altered: ask that governor over another channel to send it again."


class UnknownGovernor(HostError):
    """A name that the roster does not list."""

    advice = "Compare the roster with the other governors; all must use the same file."


class WrongCeremony(HostError):
    """A message that belongs to another ceremony, or to another step of this one."""

    advice = "Remove the file: it was copied from another place."


class CheatingGovernor(HostError):
    """Governors that sent a message which no honest one sends; `identifiers` are their numbers."""

    advice = "Contact them: their machine is faulty or compromised. Continue without them."

    def __init__(self, identifiers: Iterable[int], what: str, advice: str | None = None) -> None:
        self.identifiers = tuple(sorted(identifiers))
        self.what = what
        numbers = ", ".join(str(identifier) for identifier in self.identifiers)
        super().__init__(f"governor {numbers}: {what}", advice)


class Disagreement(HostError):
    """Governors have different messages of the same step: equivocation, or a split folder."""

    advice = "Stop. Compare fingerprints by voice, then start a new ceremony in a new folder."


class FileInTheWay(HostError):
    """The folder already holds another file of this name."""

    advice = "Your keys were used on another machine, or your state was lost: start a new ceremony."


class Refused(HostError):
    """The operator refused, or too many governors did."""

    advice = "Nothing was signed. Change the request and propose it again."


class CeremonyFailed(HostError):
    """A ceremony that can no longer succeed."""

    advice = "Start a new ceremony in a new folder."


class Stalled(HostError):
    """A ceremony without progress: it waits for other governors."""

    advice = "Run the step again when the missing governors have done theirs."


class NeedsPerson(HostError):
    """The command needs a person: for a passphrase, a confirmation or an approval."""

    advice = "Run the command in a terminal, or give the answer as an option."


class Interrupted(HostError):
    """Ctrl-C ended the command, but the operation that it started continues."""

    advice = "The operation continues: see writ governor pending DIR."


class NotReachable(HostError):
    """There was no answer: the node is offline, or the address is wrong."""

    advice = "Check that the node runs, its address, and the network between."


class Asleep(NotReachable):
    """There was no answer, and the gateway of the node knows that it sleeps."""

    advice = "Call it when it is awake, or wait for its next window with --timeout."


class NoNode(HostError):
    """A folder that belongs to no node, or whose node cannot do this yet."""

    advice = "Name the folder with --node or WRIT_NODE, or make one: writ member request DIR."


class NodeInUse(HostError):
    """Another process runs this node; two processes would use the same AEAD nonces."""

    advice = "Stop that process first, or call from another node folder."


class UnknownNode(HostError):
    """No address is known for a node of this name."""

    advice = (
        "Add its address to the scope's book.toml: writ book add NAME HOST:PORT; with --node DIR to"
        " that of a node. Or call coap://HOST:PORT/PATH."
    )


class RefusedByNode(HostError):
    """A node refused a request. name, code: of the rejection in its answer, None if unknown."""

    def __init__(self, message: str, advice: str, name: str | None, code: int | None) -> None:
        super().__init__(message, advice)
        self.name = name
        self.code = code
