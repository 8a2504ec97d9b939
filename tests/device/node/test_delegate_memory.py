"""Operations at host peers with a full heap: none of them is lost."""

import signer
from delegate_rig import PENDING, Rig, given, member_raw

from writ import crypto
from writ.wire import coap


class Full:
    """`with Full(name):` the heap is full at the first call of a primitive."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.plain = getattr(crypto, self.name)
        setattr(crypto, self.name, self._call)

    def _call(self, *arguments):
        setattr(crypto, self.name, self.plain)
        raise MemoryError()

    def __exit__(self, kind, error, trace):
        setattr(crypto, self.name, self.plain)


def test_no_room_for_an_answer():
    rig = Rig(a=[given(member_raw())], b=[PENDING])
    gone = []
    rig.make_room = lambda error: rig.count(error) or gone.append(1)
    receive = rig.authority.receive

    def full(*arguments):
        rig.authority.receive = receive
        raise MemoryError()

    rig.authority.receive = full
    answers = []
    rig.delegate.renew(answers.append)
    rig.run(1)
    # the peer is asked again, without a back-off
    assert gone == [1] and rig.counters == {"MemoryError": 1} and answers == []
    rig.run(2)
    assert rig.addresses() == ["a", "a"] and answers[0].payload == member_raw()


def test_no_room_to_sign_when_no_peer_has_the_time():
    rig = Rig(a=[(coap.NOT_FOUND, b""), given(member_raw())], b=(coap.NOT_FOUND, b""))
    gone = []
    rig.make_room = lambda error: rig.count(error) or gone.append(1)
    rig.now_ms += 4000 * 1000
    answers = []
    rig.delegate.renew(answers.append)
    with Full("es256_sign"):
        rig.run(1)
    assert gone == [1] and rig.counters == {"MemoryError": 1} and answers == []
    rig.run(2)
    assert rig.addresses() == ["a", "b", "a"] and answers[0].payload == member_raw()
    assert rig.kept[1] == []


def test_no_room_to_sign_when_the_time_has_come():
    beacon = signer.certify(signer.beacon_payload(1, Rig().authority.head, signer.FOUNDED + 200000))
    rig = Rig(a=[given(beacon), given(beacon), given(member_raw())])
    rig.sessions.give_way = lambda: None
    rig.now_ms += 4000 * 1000
    answers = []
    rig.delegate.renew(answers.append)
    with Full("es256_sign"):
        rig.run(1)
    assert rig.counters == {"MemoryError": 1} and answers == []
    rig.run(2)
    assert [call[2] for call in rig.calls] == ["writ/beacon", "writ/beacon", "writ/propose"]
    assert answers[0].payload == member_raw() and rig.kept[1] == []


def test_no_room_to_sign_at_the_end_of_the_time():
    rig = Rig(a=None)
    rig.sessions.give_way = lambda: None
    rig.now_ms += 4000 * 1000
    answers = []
    rig.delegate.renew(answers.append, 60)
    with Full("es256_sign"):
        # no peer has the time for 30 s
        rig.run(31)
    assert answers == [] and rig.counters["MemoryError"] == 1
    rig.run(3)
    assert rig.calls[-1][2] == "writ/propose"
    rig.run(70)
    assert len(answers) == 1 and rig.kept[1] == []
