"""Which ceremonies a daemon knows, durably: what each is about, and who sent it."""

from ... import codec
from .gossip import Files
from .handover import HandoverRun
from .run import DONE, FAILED, REFUSED, Run
from .secretstore import Slots

# Failed ones that are still shown, and told to those who do not know why.
ENDED_KEPT = 2
# Where `files` has what is none of a ceremony's.
_INDEX, _INDEX_FILE, _RAW = bytes(32), "!index", "!raw"


class CeremonyTable:
    """By id (32 B), oldest first: runs, and their sources: "" for our own, else who sent it."""

    def __init__(self, files: Files, slots: Slots) -> None:
        self.runs: dict[bytes, Run] = {}
        self.sources: dict[bytes, str] = {}
        self._files, self._slots = files, slots

    def listed(self) -> list[tuple[bytes, str, bytes | None]]:
        """(id, source, proposal) of those that were kept before we started."""
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
        """The invitation or proposal of a ceremony, as it came."""
        return self._files.get(id, _RAW) or b""

    def add(self, run: Run, raw: bytes, source: str) -> None:
        """Keep one more; of those that failed the oldest go."""
        self.drop(set(self.ended()[:-ENDED_KEPT]))
        self._files.put(run.id, _RAW, raw)
        self.runs[run.id], self.sources[run.id] = run, source
        self._save()

    def drop(self, ids: set[bytes]) -> None:
        """Forget these and all that belongs to them; they never begin again here."""
        if not ids:
            return
        # first of all, so that no crash brings back a ceremony without its secrets
        self._slots.drop(ids)
        folders = set(ids)
        for id in ids:
            if run := self.runs.pop(id, None):
                folders |= set(run.gossips)
            self.sources.pop(id, None)
        self._save()
        for id in folders:
            self._files.drop(id)

    def is_kept(self, run: Run) -> bool:
        """Whether our word is in it, so that no other takes its place."""
        return run.decision is not None or run.is_bound

    def ended(self) -> list[bytes]:
        """Those that failed and that nothing can come of any more."""
        return [
            id
            for id, run in self.runs.items()
            if run.state in (FAILED, REFUSED)
            and not (isinstance(run, HandoverRun) and run.is_bound)
        ]

    def addresses(self) -> dict[bytes, str]:
        """By node key (33 B): where all are who take part in anything, we among them."""
        # What somebody agreed to counts for more than what a stranger sent. Of the former the
        # newest is right, of the latter the first: nobody can talk us out of an address.
        found: dict[bytes, str] = {}
        # One that failed comes last: the others still have to be told why.
        runs = sorted(self.runs.values(), key=lambda run: run.state in (FAILED, REFUSED))
        sure = [
            run for run in runs if run.state == DONE or (run.is_open and run.decision is not None)
        ]
        for run in (*reversed(sure), *(run for run in runs if run not in sure)):
            for node_key, address in run.addresses.items():
                found.setdefault(node_key, address)
        return found

    def _save(self) -> None:
        listed = [[id, self.sources[id]] for id in self.runs]
        self._files.put(_INDEX, _INDEX_FILE, codec.dump(["writ-ceremonies", listed]))
