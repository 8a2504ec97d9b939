"""The ceremonies that a daemon knows, durably: the invitation or plan of each, and its sender."""

from ... import codec
from .gossip import Files
from .resharing import ResharingRun
from .run import DONE, FAILED, REFUSED, CeremonyRun
from .secretstore import SecretStore

# Failed ceremonies that operators still see, and whose files are still sent to other participants.
ENDED_KEPT = 2
# Files that are not exchanged: the list of ceremonies, and each invitation or plan.
_INDEX, _INDEX_FILE, _RAW = bytes(32), "!index", "!raw"


class CeremonyTable:
    """The ceremonies by id (32 B), oldest first.

    sources: "" for our own proposal, else the proposer's name or the sender's address.
    """

    def __init__(self, files: Files, secrets: SecretStore) -> None:
        self.runs: dict[bytes, CeremonyRun] = {}
        self.sources: dict[bytes, str] = {}
        self._files, self._secrets = files, secrets

    def load(self) -> list[tuple[bytes, str, bytes | None]]:
        """(id, source, invitation or plan) of the ceremonies that were kept before the start."""
        data = self._files.get(_INDEX, _INDEX_FILE)
        if data is None:
            return []
        found = []
        (items,) = codec.tagged(codec.load(data), "writ-ceremonies", 2)
        for item in codec.a_list(items):
            id, source = codec.a_list(item, 2)
            kept = codec.some_bytes(id, 32)
            text = codec.a_text(source, 256) if source else ""
            found.append((kept, text, self._files.get(kept, _RAW)))
        return found

    def raw(self, id: bytes) -> bytes:
        """The invitation or plan of a ceremony, as received."""
        return self._files.get(id, _RAW) or b""

    def add(self, run: CeremonyRun, raw: bytes, source: str) -> None:
        """Keep one more ceremony; of the failed ones the oldest are dropped."""
        self.drop(set(self.ended()[:-ENDED_KEPT]))
        self._files.put(run.id, _RAW, raw)
        self.runs[run.id], self.sources[run.id] = run, source
        self._save()

    def drop(self, ids: set[bytes]) -> None:
        """Delete these ceremonies and their files; they never begin again here."""
        if not ids:
            return
        # first, so that no crash restores a ceremony without its secrets
        self._secrets.drop(ids)
        folders = set(ids)
        for id in ids:
            if run := self.runs.pop(id, None):
                folders |= set(run.gossips)
            self.sources.pop(id, None)
        self._save()
        for id in folders:
            self._files.drop(id)

    def is_binding(self, run: CeremonyRun) -> bool:
        """Whether we decided on or confirmed it, so that no other ceremony may replace it."""
        return run.decision is not None or run.has_confirmed

    def ended(self) -> list[bytes]:
        """The failed ceremonies that can produce no seat any more."""
        return [
            id
            for id, run in self.runs.items()
            if run.state in (FAILED, REFUSED)
            and not (isinstance(run, ResharingRun) and run.has_confirmed)
        ]

    def addresses(self) -> dict[bytes, str]:
        """By node key (33 B): the address of each participant in any ceremony, our own too."""
        # Ceremonies that the operator approved count first, the newest of them before the others.
        # Of the rest the oldest counts, so that a stranger cannot replace an address.
        found: dict[bytes, str] = {}
        # Failed ceremonies come last: their files are still sent to the other participants.
        runs = sorted(self.runs.values(), key=lambda run: run.state in (FAILED, REFUSED))
        approved = [
            run for run in runs if run.state == DONE or (run.is_open and run.decision is not None)
        ]
        for run in (*reversed(approved), *(run for run in runs if run not in approved)):
            for node_key, address in run.addresses.items():
                found.setdefault(node_key, address)
        return found

    def _save(self) -> None:
        listed = [[id, self.sources[id]] for id in self.runs]
        self._files.put(_INDEX, _INDEX_FILE, codec.dump(["writ-ceremonies", listed]))
