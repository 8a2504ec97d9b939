"""What a governor or an operator can be told: every host-side refusal, each with advice.

`HostError` is somebody's to fix, and `advice` says how. Wrong use of an interface by code is
`writ.errors.UsageError`, as in the device core.
"""

from collections.abc import Iterable


class HostError(Exception):
    """Base of all. `str(error)` says what happened, `error.advice` what to do next."""

    advice = "Run the step again; if it fails again, start a new ceremony."

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        if advice is not None:
            self.advice = advice


class Malformed(HostError):
    """Bytes that are not the structure they should be."""

    advice = "The file is not what its name says, or another version of Writ wrote it."


class DamagedFile(HostError):
    """A file whose content changed by accident, or which is not one of ours at all."""

    advice = "Restore the file from a backup; or have a new share dealt: writ governor change."


class WrongPassphrase(HostError):
    """The file is whole, but this passphrase or key file does not open it."""

    advice = "Try again; the file itself is whole. There is no way around a lost passphrase."


class WeakPassphrase(HostError):
    """No passphrase at all, or a key file that is too short."""

    advice = "Give a passphrase, or make a key file of at least 32 random bytes."


class DecryptionFailed(HostError):
    """A sealed message that does not open with this governor's key."""

    advice = "It was sealed to another key, or altered on the way."


class BadEnvelope(HostError):
    """A ceremony message whose signature does not belong to the governor that it names."""

    advice = "Somebody altered the file: ask that governor, over another channel, to send it again."


class UnknownGovernor(HostError):
    """A name that the roster does not list."""

    advice = "Compare the roster with the other governors; all must use the same file."


class WrongCeremony(HostError):
    """A message of another ceremony, or of another step of this one."""

    advice = "Remove the file: it was copied here from elsewhere."


class CheatingGovernor(HostError):
    """Governors caught with a message that no honest one sends; `identifiers` are their numbers."""

    advice = "Speak with them: their machine is broken or taken over. Go on without them."

    def __init__(self, identifiers: Iterable[int], what: str, advice: str | None = None) -> None:
        self.identifiers = tuple(sorted(identifiers))
        self.what = what
        numbers = ", ".join(str(identifier) for identifier in self.identifiers)
        super().__init__(f"governor {numbers}: {what}", advice)


class Disagreement(HostError):
    """Two governors saw different messages of the same step (equivocation, or a split folder)."""

    advice = "Stop. Compare fingerprints by voice, then start a new ceremony in a fresh folder."


class FileInTheWay(HostError):
    """The folder holds another message under our own name."""

    advice = "Were your keys used on another machine, or was your own state lost? Start anew."


class Refused(HostError):
    """The operator said no, or too many governors did."""

    advice = "Nothing was signed. Change the proposal and propose again."


class CeremonyFailed(HostError):
    """A ceremony that cannot end well any more."""

    advice = "Start a new ceremony in a fresh folder."


class Stalled(HostError):
    """Nobody made progress: somebody is still awaited."""

    advice = "Run the step again when the awaited governors have done theirs."


class NeedsPerson(HostError):
    """Cannot go on without somebody who decides: a passphrase, a confirmation, an approval."""

    advice = "Run it where somebody can answer, or give the answer as an option."


class Interrupted(HostError):
    """A person ended the command with Ctrl-C while something that it began goes on."""

    advice = "What was begun goes on: writ governor pending DIR."


class NotReachable(HostError):
    """No answer came: the node is away, or the address is wrong."""

    advice = "Check that the node runs, its address, and what lies between."


class NoNode(HostError):
    """A folder that is no node's, or whose node cannot do this yet."""

    advice = "Say which folder with --node or WRIT_NODE, or make one: writ member request DIR."


class NodeInUse(HostError):
    """Another process runs this node: two of them would use one nonce twice."""

    advice = "Stop that one first, or call from a node folder of its own."


class UnknownNode(HostError):
    """Nobody says where a node of this name is."""

    advice = "Write its address into book.toml, or call coap://HOST:PORT/PATH."


class RefusedByNode(HostError):
    """A node answered, and said no. name, code: of the rejection it named, if any."""

    def __init__(self, message: str, advice: str, name: str | None, code: int | None) -> None:
        super().__init__(message, advice)
        self.name = name
        self.code = code
