"""Power failures around an action: no action is ever executed twice."""

import signer
from action_rig import EXP, RULES, Request, action_raw
from authority_rig import OWN_X, Remembered, members_raw, policy_raw
from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash

from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import ActionSpent, Expired, NeedsAction
from writ.limits import ACTIONS_SPENT_MAX


def boot(flash):
    """The Authority that starts on this flash."""
    return Authority(Store(flash), OWN_X, signer.scope())


def provisioned():
    """The files of a node with charter, policy and membership."""
    flash = MemoryFlash()
    authority = boot(flash)
    authority.receive(signer.charter(), 0)
    authority.receive(policy_raw(1, signer.charter_head(), RULES), 0)
    authority.receive(members_raw(OWN_X, name="me"), 0)
    return flash.files


def attempt(flash, raw, done, now_ms=0):
    """Start, hand the action over, send the request, and note in `done` what was carried out."""
    authority = boot(flash)
    authority.now_s(0)
    try:
        authority.receive(raw, now_ms)
        authority.actions.spend(Request(), authority.now_s(now_ms))
    except (ActionSpent, Expired, NeedsAction):
        return
    done.append(raw)


def cuts(size):
    """All places to cut a write: before each byte, and after all of them."""
    return list(range(size + 1)) + [None]


def test_an_action_is_executed_at_most_once_wherever_power_fails():
    with Remembered():
        files = provisioned()
        raws = [action_raw(nonce=nonce) for nonce in range(3)]
        number = 0
        for raw in raws:
            whole = MemoryFlash(dict(files))
            attempt(whole, raw, [])
            # the first save lists the record in another
            assert whole.writes in (2, 4)
            changed = [name for name in whole.files if whole.files[name] != files.get(name)]
            changed.sort(key=lambda name: name[:5] == "names")
            size = len(whole.files[changed[0]])
            for at, byte in [(at, byte) for at in range(whole.writes) for byte in cuts(size)]:
                number += 1
                done = []
                torn = TornFlash(dict(files), at, byte, TAILS[number % 4])
                try:
                    attempt(torn, raw, done)
                except PowerCut:
                    pass
                assert not done
                # it is handed over again and again, to the node that starts anew each time
                for _ in range(2):
                    attempt(MemoryFlash(torn.files), raw, done)
                assert len(done) <= 1
                # an action is lost only if the record was complete
                assert len(done) == 1 or byte is None or byte == size or at
                # those before it are spent as ever
                for other in raws[: raws.index(raw)]:
                    attempt(MemoryFlash(torn.files), other, done)
                assert len(done) <= 1
            files = whole.files
        assert number >= 150


def test_an_expired_and_forgotten_action_is_not_executed_again():
    with Remembered():
        files = provisioned()
        olds = [action_raw(nonce=nonce, exp=EXP + nonce) for nonce in range(ACTIONS_SPENT_MAX)]
        for raw in olds:
            attempt(MemoryFlash(files), raw, [])
        # a day later the record is rewritten without them; the next start has the old clock
        late = action_raw(nonce=50, exp=EXP + 90000)
        for byte in (0, 7, 20, None):
            for tail in TAILS:
                torn = TornFlash(dict(files), 0, byte, tail)
                try:
                    attempt(torn, late, [], 86400000)
                except PowerCut:
                    pass
                done = []
                for raw in olds:
                    attempt(MemoryFlash(torn.files), raw, done)
                assert not done
                attempt(MemoryFlash(torn.files), late, done, 86400000)
                attempt(MemoryFlash(torn.files), late, done)
                assert len(done) == (0 if byte is None else 1)
