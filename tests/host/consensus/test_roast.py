"""Signing sessions: offers, restarts, and commitments that are not points."""

from writ_host.consensus.roast import SigningSessions


def test_a_restarted_signer_may_offer_again_until_it_is_chosen(signers):
    sessions = SigningSessions(signers[0], 3, (b"payload",))
    offers = {n: (signers[n - 1].commit()[0],) for n in (1, 2)}
    for number, offer in offers.items():
        sessions.offer(number, offer, offer)
    newer = (signers[1].commit()[0],)
    sessions.offer(2, newer, newer)
    third = (signers[2].commit()[0],)
    sessions.offer(3, third, third)
    assert sessions.choose() == {1: offers[1], 2: newer, 3: third}
    sessions.offer(2, offers[2], offers[2])
    assert sessions.choose() is None


NOT_POINTS = (b"\xff" * 64,)


def test_commitments_that_are_not_points_are_left_out_of_a_session(signers):
    sessions = SigningSessions(signers[0], 3, (b"payload",))
    offers = {n: (signers[n - 1].commit()[0],) for n in (1, 3, 4)}
    sessions.offer(1, offers[1], 1)
    sessions.offer(2, NOT_POINTS, 2)
    sessions.offer(3, offers[3], 3)
    assert sessions.choose() is None
    sessions.offer(4, offers[4], 4)
    assert sessions.choose() == {1: 1, 3: 3, 4: 4}
    # a governor that was left out may offer valid commitments later
    better = (signers[1].commit()[0],)
    sessions.offer(2, better, 2)
    assert sessions.choose() is None and not sessions.cheaters


def test_a_session_of_other_governors_with_invalid_commitments_ends_without_accusation(signers):
    sessions = SigningSessions(signers[3], 3, (b"payload",))
    members = {n: (signers[n - 1].commit()[0],) for n in (1, 2)} | {3: NOT_POINTS}
    assert sessions.add(b"name", members)
    for number in members:
        sessions.add_shares(b"name", number, (bytes(32),))
    sessions.check_unfinished()
    assert sessions.signatures is None and not sessions.cheaters
    # a member itself does not take such a session
    assert not SigningSessions(signers[0], 3, (b"payload",)).add(b"name", members)


def session_with_a_wrong_share(signers):
    """Governor 1's sessions: 1 and 2 have answered, with new offers, 2 wrongly; 3 is silent."""
    sessions = SigningSessions(signers[0], 3, (b"payload",))
    made = {n: signers[n - 1].commit() for n in (1, 2, 3)}
    members = {n: (commitment,) for n, (commitment, _) in made.items()}
    for number, commitments in members.items():
        sessions.offer(number, commitments, number)
    sessions.choose()
    assert sessions.add(b"name", members)
    package = signers[0].package(b"payload", {n: one for n, (one, _) in made.items()})
    for number in (1, 2):
        share = signers[number - 1].share(package, made[number][1])
        if number == 2:
            share = bytes((share[0] ^ 1,)) + share[1:]
        following = (signers[number - 1].commit()[0],)
        sessions.offer_next(number, b"name", following, number)
        sessions.add_shares(b"name", number, (share,))
    return sessions


def test_a_wrong_share_in_an_unfinished_session_excludes_its_signer(signers):
    sessions = session_with_a_wrong_share(signers)
    assert not sessions.cheaters
    sessions.check_unfinished()
    assert sessions.cheaters == {2}
    # only the member with the valid share is free for the next session
    sessions.offer(4, (signers[3].commit()[0],), 4)
    assert sessions.choose() is None
    # it may not offer again either
    sessions.offer(2, (signers[1].commit()[0],), 2)
    assert sessions.choose() is None


def test_a_known_cheater_is_in_no_new_session(signers):
    sessions = session_with_a_wrong_share(signers)
    sessions.check_unfinished()
    members = {n: (signers[n - 1].commit()[0],) for n in (1, 2, 4)}
    assert not sessions.add(b"with the cheater", members)
    members[3] = members.pop(2)
    assert sessions.add(b"without it", members)
