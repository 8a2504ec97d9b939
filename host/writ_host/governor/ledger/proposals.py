"""The governors' proposals and their approvals, in the ledger."""

from ... import codec
from ...errors import HostError
from ..proposals.approval import Approval
from ..proposals.proposal import OPEN, OPEN_MAX, Proposal
from .database import Database, LedgerFull

# Closed proposals that operators can still look up.
CLOSED_KEPT = 512
REASON_CHARS_MAX = 500


class ProposalStore:
    """Open proposals, and the newest closed ones. What is written is durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, proposal: Proposal) -> None:
        """Keep an open proposal. A closed one is opened again, without its approvals.

        Raises `LedgerFull`.
        """
        database = self._database
        item = codec.dump(proposal.to_item())
        with database.together():
            known = database.value("SELECT state FROM proposals WHERE id = ?", proposal.id)
            if known == OPEN:
                # there may be better evidence
                database.write("UPDATE proposals SET item = ? WHERE id = ?", item, proposal.id)
                return
            count = database.value("SELECT count(*) FROM proposals WHERE state = ?", OPEN)
            if count >= OPEN_MAX:
                raise LedgerFull(f"{OPEN_MAX} proposals are open")
            database.write("DELETE FROM proposals WHERE id = ?", proposal.id)
            database.write(
                "INSERT INTO proposals (id, item, proposer, state, reason) VALUES (?, ?, ?, ?, '')",
                *(proposal.id, item, proposal.proposer, OPEN),
            )

    def close(self, id: bytes, state: str, reason: str = "") -> None:
        """Close a proposal. Does nothing for one that is not in the table."""
        with self._database.at_once():
            changed = self._database.write(
                "UPDATE proposals SET state = ?, reason = ? WHERE id = ?",
                *(state, reason[:REASON_CHARS_MAX], id),
            )
            if changed:
                self._trim_closed()

    def save_closed(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """Keep a proposal that was closed before it was ever saved."""
        with self._database.at_once():
            self._database.write(
                "INSERT OR REPLACE INTO proposals (id, item, proposer, state, reason)"
                " VALUES (?, ?, ?, ?, ?)",
                *(proposal.id, codec.dump(proposal.to_item()), proposal.proposer, state),
                reason[:REASON_CHARS_MAX],
            )
            self._trim_closed()

    def _trim_closed(self) -> None:
        self._database.write(
            "DELETE FROM proposals WHERE state != ?1 AND seq <= (SELECT seq FROM proposals"
            " WHERE state != ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            *(OPEN, CLOSED_KEPT),
        )

    def open(self) -> list[Proposal]:
        """The open proposals, oldest first, with their approvals."""
        return self._select("state = ? ORDER BY seq", OPEN)

    def closed(self, most: int) -> list[Proposal]:
        """The newest closed proposals, newest first, with their approvals."""
        return self._select("state != ? ORDER BY seq DESC LIMIT ?", OPEN, most)

    def _select(self, which: str, *values: object) -> list[Proposal]:
        rows = f"SELECT id, item, proposer, state, reason FROM proposals WHERE {which}"
        found = []
        for id, item, proposer, state, reason in self._database.rows(rows, *values):
            try:
                proposal = Proposal.from_item(codec.load(item), proposer)
                proposal.approvals = self.approvals(id)
            except HostError as error:
                raise self._database.damaged(f"proposal {id.hex()}: {error}") from None
            proposal.state, proposal.reason, proposal.is_saved = state, reason, True
            found.append(proposal)
        return found

    def save_approval(self, id: bytes, approval: Approval) -> None:
        """Keep a governor's answer to a saved proposal; its first answer counts."""
        self._database.write(
            "INSERT OR IGNORE INTO approvals (id, number, item) SELECT id, ?2, ?3 FROM proposals"
            " WHERE id = ?1",
            *(id, approval.number, codec.dump(approval.to_item(id))),
        )

    def approvals(self, id: bytes) -> dict[int, Approval]:
        """The answers to a proposal, by the governor's number. Raises `Malformed`."""
        rows = "SELECT number, item FROM approvals WHERE id = ? ORDER BY number"
        return {
            number: Approval.from_item(codec.load(item))[1]
            for number, item in self._database.rows(rows, id)
        }
