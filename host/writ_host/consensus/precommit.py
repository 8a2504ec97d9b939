"""The precommit step: signing sessions of the rounds, in which a signature share is a precommit.

 1. A session belongs to a height, a round and a digest. It names `threshold` signers by their
    signed messages with nonce commitments (*offers*): prevotes, or shares of an earlier session.
 2. The round's proposer coordinates. Once it has locked the value itself, it opens a session with
    signers that have voted for the value (lines 36 to 40); while signers fail, it opens others.
 3. A replica signs only in a session of its current round, only for the value that it has locked
    in this round, and only with nonces that it has published and not used.
 4. Shares go to the proposer. All shares of one session make the group's signatures, and with them
    the decision (line 49).

Line numbers are of Algorithm 1 in arXiv 1807.04938. roast.py has the sessions themselves.
"""

from . import messages
from .context import ReplicaContext
from .effects import Send
from .fastpath import FastPath
from .messages import Offer, Prevote, Share, SigningSession
from .roast import SESSIONS_MAX, SigningSessions
from .value import Value


class Precommit:
    """One replica's signing, as coordinator and as signer.

    Methods that return a bool are rules: True when the rule has applied and changed the state.
    """

    def __init__(self, context: ReplicaContext, fast_path: FastPath) -> None:
        self._context = context
        self._fast_path = fast_path

    def sessions(self, round_: int, digest: bytes) -> SigningSessions[Offer] | None:
        """The sessions of a round and digest, or None while its value is unknown."""
        state = self._context.state
        key = round_, digest
        if key not in state.sessions:
            value = state.value(round_, digest)
            if value is None:
                return None
            threshold = self._context.committee.threshold
            state.sessions[key] = SigningSessions(self._context.signer, threshold, value.payloads)
        return state.sessions[key]

    def complete(self) -> tuple[Value, tuple[bytes, ...]] | None:
        """A value and the group's signatures for it, once a session is complete (line 49)."""
        state = self._context.state
        for (round_, digest), sessions in state.sessions.items():
            value = state.value(round_, digest)
            if sessions.signatures is not None and value is not None:
                return value, sessions.signatures
        return None

    # --- messages ---------------------------------------------------------------------------------

    def receive_prevote(self, prevote: Prevote) -> None:
        """Count a prevote that arrived alone, in a session or in a proof."""
        context = self._context
        if not context.verifier.check(prevote):
            return
        context.record_signed(prevote)
        if prevote.sender == context.me:
            return
        earlier = context.state.votes.add(prevote, context.state.round)
        if earlier is not None:
            context.accuse(prevote.sender, "voted twice in a round", earlier, prevote)
            return
        is_unlocked = context.hard_state.locked_round < prevote.round
        if is_unlocked and self._fast_path.is_ours_to_open(prevote.round):
            # check commitments while other votes are awaited, not while all wait for the session
            all(map(context.signer.check_commitment, prevote.commitments))

    def receive_session(self, sender: int, session: SigningSession) -> None:
        """Take a session that `sender` coordinates, and count the prevotes in it."""
        context, state = self._context, self._context.state
        place = session.height, session.round, session.digest
        if sender != context.committee.proposer(state.height, session.round):
            return
        if any((o.height, o.round, o.digest) != place for o in session.offers):
            return
        if not all(context.verifier.check(offer) for offer in session.offers):
            return
        for offer in session.offers:
            if isinstance(offer, Prevote):
                self.receive_prevote(offer)
        sessions = self.sessions(session.round, session.digest)
        if sessions is None:
            state.stash(sender, session)
            return
        members = {offer.sender: offer.commitments for offer in session.offers}
        if len(members) != len(session.offers):
            return
        if sessions.add(session.id, members):
            if session.round == state.round and context.me in members:
                state.unsigned_sessions.append(session)
            self.accuse_cheaters(sessions.cheaters)

    def receive_share(self, sender: int, share: Share) -> None:
        """Take a share, also this replica's own."""
        context, state = self._context, self._context.state
        if share.sender != sender or not context.verifier.check(share):
            return
        context.record_signed(share)
        sessions = self.sessions(share.round, share.digest)
        if sessions is None:
            state.stash(sender, share)
            return
        count = sum(1 for _, signer in state.shares if signer == sender)
        if (share.session, sender) in state.shares or count >= 2 * SESSIONS_MAX:
            return
        state.shares[share.session, sender] = share
        sessions.offer_next(sender, share.session, share.commitments, share)
        sessions.add_shares(share.session, sender, share.shares)
        self.accuse_cheaters(sessions.cheaters)

    def accuse_cheaters(self, numbers: set[int]) -> None:
        """Accuse these of wrong shares. The proof is all shares that they signed at this height."""
        for number in numbers:
            shares = self._context.state.shares
            proof = [share for (_, sender), share in shares.items() if sender == number]
            self._context.accuse(number, "sent a wrong signature share", *proof)

    def retry_stashed(self) -> None:
        """Retry sessions and shares that arrived before their value."""
        for sender, kept in self._context.state.unstash().items():
            for message in kept:
                if isinstance(message, SigningSession):
                    self.receive_session(sender, message)
                else:
                    self.receive_share(sender, message)

    # --- the coordinator's rules ------------------------------------------------------------------

    def open_session(self) -> bool:
        """As the proposer that has locked its value, choose the signers and tell them."""
        context, state = self._context, self._context.state
        digest = context.hard_state.locked
        if not context.is_locked_now or digest is None:
            return False
        if not self._fast_path.is_ours_to_open(state.round):
            return False
        sessions = self.sessions(state.round, digest)
        if sessions is None:
            return False
        for number, prevote in state.votes.of(state.round).items():
            if prevote.digest == digest:
                sessions.offer(number, prevote.commitments, prevote)
        chosen = sessions.choose()
        if chosen is None:
            return False
        session = SigningSession(state.height, state.round, digest, tuple(chosen.values()))
        state.opened_sessions.append(session)
        state.unjoined_sessions.append(session)
        # it binds this governor to nothing, so it need not wait until our lock is durable
        data = messages.encode(session)
        others = [number for number in chosen if number != context.me]
        context.effects[:0] = [Send(number, data) for number in others]
        return True

    def join_opened(self) -> None:
        """Sign in the sessions that this replica opened: one step later, while others sign too."""
        sessions = self._context.state.unjoined_sessions
        while sessions:
            self.receive_session(self._context.me, sessions.pop(0))

    # --- the signer's rules -----------------------------------------------------------------------

    def join_fast_session(self) -> bool:
        """Sign without a session message, once all fast signers' prevotes are here."""
        session = self._fast_path.session()
        if session is None:
            return False
        context, state = self._context, self._context.state
        state.has_fast_session = True
        self.receive_session(session.offers[0].sender, session)
        sessions = self.sessions(0, session.digest)
        if context.is_coordinator(0) and sessions is not None and session.id in sessions:
            # for a fast signer that lacks a vote, and says so in its next status
            state.opened_sessions.append(session)
            for offer in session.offers:
                sessions.set_busy(offer.sender, offer.commitments)
        return True

    def sign(self) -> bool:
        """Line 40: sign the value that is locked in this round, in a session of this round."""
        context, state = self._context, self._context.state
        if not context.is_locked_now:
            return False
        for session in state.unsigned_sessions:
            mine = next(o.commitments for o in session.offers if o.sender == context.me)
            sessions = state.sessions[session.round, session.digest]
            if session.digest == context.hard_state.locked and mine in context.nonces:
                state.unsigned_sessions.remove(session)
                shares = sessions.sign(session.id, context.nonces.take(mine))
                self._send_share(session, shares)
                return True
        return False

    def _send_share(self, session: SigningSession, shares: tuple[bytes, ...]) -> None:
        context, state = self._context, self._context.state
        commitments = context.nonces.commit(len(shares))
        place = context.me, session.height, session.round, session.digest
        counter = context.hard_state.counter
        unsigned = Share(*place, counter, session.id, shares, commitments)
        share = messages.sign(unsigned, context.signer, context.committee.scope)
        state.own_shares.append(share)
        if state.has_fast_session and not session.round:
            context.send_each(self._fast_path.share_receivers(), share)
        else:
            context.send_to_proposer(share, session.round)
        self.receive_share(context.me, share)
