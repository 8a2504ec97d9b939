"""Capsules: each kind has one shape, and all else raises a Rejection."""

import signer
from harness import raises

from writ import cbor
from writ.authority import capsule
from writ.authority.capsule import (
    AMENDMENT,
    BEACON,
    CHARTER,
    CNF,
    EXP,
    GRANT,
    IAT,
    MEMBER,
    NBF,
    POLICY,
    SUB,
    WRIT,
)
from writ.errors import BadShape, Rejection, TooLarge, TrailingBytes, Truncated, UnknownKind
from writ.limits import CAPSULE_BYTES_MAX

X = bytes(range(32))
NODES = [bytes((i,)) * 8 for i in range(16)]
HEAD = b"\xab" * 6
RULES = [
    [1, 1, "writ/status", 1],
    [2, 4, "temp", 1],
    [2, 4, "humidity", 1],
    [4, 8, "pump/state", 1],
    [2, 8, "pump/*", 5],
    [2, 8, "pump/run", 4, 1],
    [2, 8, "valve", 4, 2],
    [16, 31, "*", 127],
]
ROUTES = [[i, 31, 6, 7, 3, 10, i] for i in range(4)]


def assemble(payload, alg=capsule.EDDSA):
    """A capsule with a signature that these tests do not check."""
    return capsule.assemble(payload, bytes(range(64)), alg)


def raw_capsule(claims, alg=capsule.EDDSA):
    """A capsule of any claims at all, unchecked."""
    return assemble(cbor.encode(claims), alg)


def each_kind():
    """(name, payload) of the kinds that are applied, with typical contents."""
    return (
        ("charter", signer.charter_payload()),
        ("member", signer.member_payload(X, nbf=signer.FOUNDED)),
        ("policy", signer.policy_payload(1, HEAD, RULES[:2], ROUTES[:1], NODES[:2])),
        ("amendment", signer.amendment_payload(2, HEAD, NODES[3], [1, NODES[4], 6])),
        ("beacon", signer.beacon_payload(2, HEAD, signer.FOUNDED + 7)),
    )


def test_sizes_fit_slow_links():
    # design: they must fit LoRa, 222 bytes a frame at SF7 and 51 at SF12
    member = assemble(signer.member_payload(X, "pump-north", 65534, 0xFF))
    assert len(member) <= 150, len(member)
    # with the highest of 30 roles, and a start of validity
    most = assemble(signer.member_payload(X, "pump-north", 65534, 0x3FFFFFFF, nbf=1 << 31))
    assert len(most) <= 159, len(most)
    revocation = assemble(signer.amendment_payload(255, HEAD, NODES[1]))
    assert len(revocation) <= 100, len(revocation)
    beacon = assemble(signer.beacon_payload(255, HEAD, signer.FOUNDED))
    assert len(beacon) <= 96, len(beacon)
    policy = assemble(signer.policy_payload(255, HEAD, RULES, ROUTES, NODES[:8]))
    assert len(policy) <= 400, len(policy)


def test_parse_gives_back_what_was_built():
    for _, payload in each_kind():
        raw = assemble(payload)
        parsed = capsule.parse(raw)
        assert parsed.raw == raw and parsed.payload == payload
        assert parsed.signature == bytes(range(64)) and parsed.hint is None
        assert parsed.digest() == capsule.digest(raw)
        assert parsed.signing_input() == capsule.signing_input(payload)
        assert cbor.encode(parsed.claims) == payload


def test_signing_input_is_the_sig_structure_of_rfc_9052():
    expected = bytes.fromhex("846a5369676e61747572653143a10127404161")
    assert capsule.signing_input(b"a") == expected
    assert capsule.signing_input(b"a", capsule.ES256) == expected.replace(b"\x27", b"\x26")


def test_every_truncation_is_a_rejection():
    for _, payload in each_kind():
        raw = assemble(payload)
        for end in range(len(raw)):
            error = raises(Rejection, capsule.parse, raw[:end])
            assert type(error) is Truncated
        raises(TrailingBytes, capsule.parse, raw + b"\x00")


def test_every_flipped_bit_is_rejected_or_changes_what_is_signed():
    for _, payload in each_kind():
        raw = assemble(payload)
        good = capsule.parse(raw)
        for i in range(8 * len(raw)):
            flipped = bytearray(raw)
            flipped[i >> 3] ^= 1 << (i & 7)
            try:
                bad = capsule.parse(bytes(flipped))
            except Rejection:
                continue
            assert bad.raw == flipped
            # accepted: then the signature differs, or the claims and the signed bytes do
            same_claims = cbor.encode(bad.claims) == payload
            assert same_claims == (bad.signing_input() == good.signing_input())
            assert not same_claims or bad.signature != good.signature


def test_size_is_the_first_check():
    raises(TooLarge, capsule.parse, bytes(CAPSULE_BYTES_MAX + 1))
    raises(TrailingBytes, capsule.parse, bytes(CAPSULE_BYTES_MAX))


def test_what_is_no_byte_string_is_no_capsule():
    for item in (None, 5, True, "text", [], {}, [1, 2]):
        raises(BadShape, capsule.parse, item)


def test_outer_shape():
    payload = signer.beacon_payload(1, HEAD, 5)
    protected = b"\xa1\x01\x27"
    signature = bytes(64)
    good = [protected, {}, payload, signature]
    assert capsule.parse(cbor.encode(good)).kind == BEACON
    for outer in (
        None,
        0,
        {},
        payload,
        [],
        good[:3],
        good + [0],
        [b"", {}, payload, signature],
        [b"\xa0", {}, payload, signature],
        ["\xa1", {}, payload, signature],
        [None, {}, payload, signature],
        [{1: -8}, {}, payload, signature],
        [b"\xa1\x01\x26", {}, payload, signature],  # ES256 is for grants
        [b"\xa1\x01\x38\x22", {}, payload, signature],  # ES384
        [b"\xa2\x01\x27\x04\x40", {}, payload, signature],
        [protected, [], payload, signature],
        [protected, None, payload, signature],
        [protected, {1: -8}, payload, signature],
        [protected, {4: b"kid", 1: 1}, payload, signature],
        [protected, {4: "kid"}, payload, signature],
        [protected, {4: None}, payload, signature],
        [protected, {4: b""}, payload, signature],
        [protected, {4: bytes(9)}, payload, signature],
        [protected, {"4": b"kid"}, payload, signature],
        [protected, {b"4": b"kid"}, payload, signature],
        [protected, {}, None, signature],
        [protected, {}, "text", signature],
        [protected, {}, [1], signature],
        [protected, {}, payload, None],
        [protected, {}, payload, signature[:63]],
        [protected, {}, payload, signature + b"\x00"],
        [protected, {}, payload, "s" * 64],
    ):
        raises(BadShape, capsule.parse, cbor.encode(outer))


def test_a_hint_is_unsigned_and_makes_no_second_capsule():
    payload = signer.beacon_payload(1, HEAD, 5)
    plain = capsule.parse(assemble(payload))
    for size in range(1, 9):
        hinted = capsule.assemble(payload, bytes(range(64)), hint=signer.scope()[:size])
        parsed = capsule.parse(hinted)
        assert parsed.hint == signer.scope()[:size]
        assert parsed.raw == plain.raw and parsed.digest() == plain.digest()


def test_claims_of_each_kind_are_exact():
    for name, payload in each_kind():
        claims = cbor.decode(payload)
        for key in list(claims):
            # NBF is optional for a member; all other claims are required
            fewer = dict(claims)
            del fewer[key]
            if (name, key) == ("member", NBF):
                assert capsule.parse(raw_capsule(fewer)).kind == MEMBER
            else:
                raises(BadShape, capsule.parse, raw_capsule(fewer))
        extras = [(1, "issuer"), (7, b"id"), (9, b""), ("x", 1), (b"x", 1), (-1, 1), (-65538, 1)]
        for key, value in extras + [(EXP, 1), (NBF, 1), (IAT, 1), (SUB, "a"), (CNF, {})]:
            if key not in claims:
                more = dict(claims)
                more[key] = value
                raises(BadShape, capsule.parse, raw_capsule(more))


def test_times_are_unsigned_integers():
    for key in (EXP, NBF):
        for value in (None, True, -1, 1 << 32, "1", b"1", [1], {}):
            claims = cbor.decode(signer.member_payload(X, nbf=1))
            claims[key] = value
            raises(BadShape, capsule.parse, raw_capsule(claims))
    for value in (None, False, -1, 1 << 32, "1", b"1", [1]):
        raises(BadShape, capsule.parse, raw_capsule({IAT: value, WRIT: [BEACON, 1, HEAD]}))


def test_the_writ_claim_is_a_list_that_begins_with_a_kind():
    for body in (None, 4, b"\x04", "4", {}, [], [None], [True], [-1], [256], [1 << 63], ["4"]):
        raises(BadShape, capsule.parse, raw_capsule({IAT: 1, WRIT: body}))
    for kind in (9, 10, 255):
        raises(UnknownKind, capsule.parse, raw_capsule({IAT: 1, WRIT: [kind]}))
    for claims in (None, 1, [], "x", b"x", {}, {IAT: 1}, {"writ": [4]}, [WRIT]):
        raises(BadShape, capsule.parse, raw_capsule(claims))


def test_only_a_grant_is_signed_with_es256():
    for kind in range(GRANT):
        raises(BadShape, capsule.parse, raw_capsule({IAT: 1, WRIT: [kind, 1, HEAD]}, capsule.ES256))
    raises(BadShape, capsule.parse, raw_capsule({WRIT: [GRANT]}))
    assert capsule.parse(raw_capsule({WRIT: [GRANT]}, capsule.ES256)).kind == GRANT


def bodies(view, payload, cases):
    """Each case, (index in the writ claim, value), must make `view` refuse the capsule."""
    assert view(capsule.parse(assemble(payload)))
    for index, value in cases:
        claims = cbor.decode(payload)
        claims[WRIT][index] = value
        raises(BadShape, view, capsule.parse(raw_capsule(claims)))
    for change in (lambda body: body.append(0), lambda body: body.pop()):
        claims = cbor.decode(payload)
        change(claims[WRIT])
        raises(BadShape, view, capsule.parse(raw_capsule(claims)))


def test_charter_shape():
    key = b"k" * 32
    cases = [(1, name) for name in (None, 1, b"farm", "", "Farm", "a b", "a/b", "\xfc", "a" * 25)]
    cases += [(2, value) for value in (None, 0, -1, 5, True, "3", [3])]
    cases += [(3, value) for value in (None, {}, [], b"", [key, X, key], [1, "a"], ["k"])]
    cases += [(3, [key[:31], key[1:], b"", X]), (3, [key, X, key + b"k"])]
    cases += [(3, [bytes((i,)) * 32 for i in range(14)])]
    cases += [(4, value) for value in (None, 1, "k" * 32, key + b"k", [key])]
    for params in (
        None,
        [],
        {},
        {1: 1},
        {2: 1},
        {1: 1, 2: 1, 3: 1},
        {1: 1, "2": 1},
        {1: 1, b"": 1},
    ):
        cases.append((5, params))
    for value in (None, True, -1, "1", b"", 1 << 32, [1]):
        cases.append((5, {1: value, 2: 1}))
        cases.append((5, {1: 1, 2: value}))
    bodies(capsule.Charter, signer.charter_payload(), cases)


def test_a_charter_of_another_kind_is_none():
    beacon = capsule.parse(assemble(signer.beacon_payload(1, HEAD, 5)))
    for view in (capsule.Charter, capsule.Member):
        raises(BadShape, view, beacon)
    charter = capsule.parse(assemble(signer.charter_payload()))
    raises(BadShape, capsule.Beacon, charter)


def test_charter_facts():
    charter = capsule.Charter(capsule.parse(signer.charter()))
    assert charter.scope == signer.scope() and charter.name == "farm" and charter.threshold == 3
    assert charter.group_key == signer.public_key() and len(charter.governors) == 4
    assert charter.beacon_age_max_s == 3600 and charter.clock_skew_max_s == 120
    assert charter.founded == signer.FOUNDED and charter.head == signer.charter_head()


def test_member_shape():
    payload = signer.member_payload(X)
    cases = [(1, value) for value in (None, 0, 65535, -1, True, "1", b"\x01", [1])]
    cases += [(2, value) for value in (None, -1, 1 << 30, True, "1", [1])]
    bodies(capsule.Member, payload, cases)
    for name in (None, 1, b"a", "", "A", "a b", "a" * 25, "\xe9", ["a"]):
        claims = cbor.decode(payload)
        claims[SUB] = name
        raises(BadShape, capsule.Member, capsule.parse(raw_capsule(claims)))


def test_confirmation_keys_of_every_odd_shape_are_refused():
    good = {1: 2, -1: 1, -2: X, -3: True}
    assert capsule.confirmation_key({1: good}) == (X, True)
    wrong = [None, 1, [], {}, b"", "x", {1: None}, {1: []}, {2: good}, {1: good, 2: good}]
    for key in good:
        fewer = dict(good)
        del fewer[key]
        wrong.append({1: fewer})
        for value in (None, True, False, 0, 3, -1, "x", b"x", [], {}, X + X, "x" * 32):
            # 0 == False in Python; on the wire they are two values
            if key != -3 or (value is not True and value is not False):
                changed = dict(good)
                changed[key] = value
                wrong.append({1: changed})
    # keys of mixed types, which cannot be sorted
    for key in ("x", b"x", 3, -4, 2):
        more = dict(good)
        more[key] = 1
        wrong.append({1: more})
        del more[1]
        wrong.append({1: more})
    for cnf in wrong:
        raises(BadShape, capsule.confirmation_key, cnf)
        claims = cbor.decode(signer.member_payload(X))
        claims[CNF] = cnf
        raises(BadShape, capsule.Member, capsule.parse(raw_capsule(claims)))


def test_member_facts():
    member = capsule.Member(capsule.parse(assemble(signer.member_payload(X, "a.b-c_9", 300, 5))))
    assert member.x == X and member.y_is_odd is False and member.name == "a.b-c_9"
    assert member.node_id == capsule.node_id(X) and len(member.node_id) == 8
    assert member.address == 300 and member.kid() == b"\x01\x2c" and member.roles == 5
    assert member.expires == signer.EXPIRES and member.not_before == 0


def test_beacon_shape():
    cases = [(1, value) for value in (None, -1, 1 << 32, True, "1", b"", [1])]
    cases += [(2, value) for value in (None, 1, "abcdef", HEAD[:5], HEAD + b"\x00", [HEAD])]
    bodies(capsule.Beacon, signer.beacon_payload(1, HEAD, 5), cases)
    beacon = capsule.Beacon(capsule.parse(assemble(signer.beacon_payload(7, HEAD, 5))))
    assert (beacon.epoch, beacon.head, beacon.time) == (7, HEAD, 5)


def test_build_refuses_what_parse_would():
    raises(BadShape, capsule.build, BEACON, [1, HEAD])
    raises(BadShape, capsule.build, MEMBER, [1, 1], "a", 5)
    raises(UnknownKind, capsule.build, 9, [])
    # the body is not checked here: the views of the kinds check it
    assert capsule.build(POLICY, [1], iat=1) and capsule.build(AMENDMENT, [])
    assert capsule.build(CHARTER, [], iat=1)
