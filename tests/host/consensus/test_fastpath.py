"""The fast path: which governors vote at once, sign without a session, and are not asked."""

from consensus_rig import Network, value

from writ_host.consensus import messages
from writ_host.consensus.effects import Decide, Propose, Received, Send
from writ_host.consensus.messages import Decided, Prevote, RoundProposal, Share, SigningSession


def test_prevotes_go_to_the_fast_signers_and_to_governors_that_lack_them(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    *first, spared = network.committee.after(proposer)
    network.step(proposer, Propose(value(1)))
    for sender, to, data in [letter for letter in network.mail if letter[1] != proposer]:
        network.step(to, Received(sender, data))
    sent = network.effects_of(Send)
    for number in network.chains:
        to = [e.to for n, e in sent if n == number and isinstance(messages.decode(e.data), Prevote)]
        assert to == ([] if number == spared else sorted({proposer, *first} - {number}))
        assert not network.sent(number, RoundProposal)
    # the proposer goes offline: the others learn from status messages what they lack, and go on
    network.mail.clear()
    network.deaf = {proposer}
    network.wait(6000)
    assert sum(1 in chain for chain in network.chains.values()) == 3


def test_fast_signers_sign_without_a_session_message(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    first = network.committee.after(proposer)[0]
    # the submitter combines the shares, as the proposer does, and needs no decision message
    network.lost = (Decided,)
    network.step(first, Propose(value(1)))
    network.deliver()
    assert {number for number, chain in network.chains.items() if 1 in chain} == {proposer, first}
    assert not any(
        network.sent(n, RoundProposal) or network.sent(n, SigningSession) for n in network.chains
    )
    network.lost = ()
    network.wait(500)
    assert all(1 in chain for chain in network.chains.values())


def test_a_waiting_submitter_gets_the_decision_before_the_proposer_writes_it(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    *first, spared = network.committee.after(proposer)
    # two submit the same value: one is a fast signer, the other waits for the decision
    network.step(first[0], Propose(value(1)))
    network.step(spared, Propose(value(1)))
    network.deliver()
    effects = [effect for number, effect in network.effects if number == proposer]
    decided = next(i for i, effect in enumerate(effects) if isinstance(effect, Decide))
    announced = [
        (i < decided, effect.to, effect.deferrable)
        for i, effect in enumerate(effects)
        if isinstance(effect, Send) and isinstance(messages.decode(effect.data), Decided)
    ]
    assert announced == [
        (True, spared, False),
        *((False, number, True) for number in sorted(first)),
    ]


def test_a_sole_submitter_is_a_fast_signer(signers):
    for submitter in range(1, 5):
        network = Network(signers)
        network.effects.clear()
        network.step(submitter, Propose(value(1)))
        network.deliver()
        assert all(1 in chain for chain in network.chains.values())
        signed = {number for number in network.chains if network.sent(number, Share)}
        signed.add(network.committee.proposer(1, 0))
        assert submitter in signed and len(signed) == 3
        # the submitter combines the shares, and gets no urgent decision message
        received = [effect for _, effect in network.effects_of(Send) if effect.to == submitter]
        kinds = {type(messages.decode(effect.data)) for effect in received if not effect.deferrable}
        assert kinds <= {Prevote, Share}


def test_simultaneous_values_cost_a_round_and_no_timeout(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    first, second, spared = network.committee.after(proposer)
    # each governor knows its own value first
    names = {proposer: "red", first: "blue", second: "green", spared: "white"}
    for number, name in names.items():
        network.step(number, Propose(value(1, name)))
    network.deliver()
    network.wait(300)
    assert len({chain[1].value for chain in network.chains.values()}) == 1
    # the next height is off the fast path: votes follow a proposal
    for number, name in names.items():
        network.step(number, Propose(value(2, name)))
    network.deliver()
    proposer = network.committee.proposer(2, 0)
    assert {chain[2].value for chain in network.chains.values()} == {value(2, names[proposer])}
    # after a height with one value, the fast path is open again
    network.step(1, Propose(value(3)))
    network.deliver()
    assert network.sent(network.committee.proposer(3, 0), RoundProposal)
    network.step(1, Propose(value(4)))
    network.deliver()
    assert not network.sent(network.committee.proposer(4, 0), RoundProposal)
    assert all(4 in chain for chain in network.chains.values())


def test_an_offline_governor_costs_a_second_only_the_first_time(signers):
    network = Network(signers)
    offline = network.committee.proposer(1, 0)
    network.deaf = {offline}
    online = set(network.chains) - network.deaf
    network.step(min(online), Propose(value(1)))
    network.wait(1500)
    assert all(1 in network.chains[number] for number in online)
    # later proposers know that it was late, and ask another governor instead
    took_ms = []
    for height in range(2, 14):
        since_ms = network.now_ms
        network.step(min(online), Propose(value(height)))
        while not all(height in network.chains[number] for number in online):
            network.wait(100)
        if network.committee.proposer(height, 0) != offline:
            took_ms.append(network.now_ms - since_ms)
    assert max(took_ms) <= 1000 and took_ms[-3:] == [100] * 3


def test_a_message_of_the_next_height_waits_for_the_decision(signers):
    network = Network(signers)
    proposer = network.committee.proposer(1, 0)
    network.step(proposer, Propose(value(1)))
    late = network.committee.after(proposer)[-1]
    held = []
    while network.mail:
        sender, to, data = network.mail.pop(0)
        if to == late and isinstance(messages.decode(data), Decided):
            held.append((sender, data))
        else:
            network.step(to, Received(sender, data))
    # the others go on to the next height, where it is a fast signer
    proposer = network.committee.proposer(2, 0)
    assert late in network.committee.after(proposer)[:2] and held
    network.step(proposer, Propose(value(2)))
    network.deliver()
    assert 2 not in network.chains[proposer]
    network.step(late, Received(*held[0]))
    network.deliver()
    assert all(2 in chain for chain in network.chains.values())
