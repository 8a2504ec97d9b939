"""Compares docs/governor-protocol.md with the code, also by a stock CDDL validator."""

import functools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import cddl_verifier
import pytest
from ceremonies_rig import Network, found
from docs_rig import CDDL, DOCS, FENCE, rows, ticked
from governor_rig import Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import Charter
from writ.node.statement import member_request
from writ_host import codec
from writ_host.ceremony import plan
from writ_host.consensus import cosign, messages
from writ_host.consensus.value import PAYLOADS_MAX
from writ_host.governor.ceremonies import gossip, invitation, manager
from writ_host.governor.ceremonies.gossip import FILE
from writ_host.governor.ceremonies.manager import CHANGE
from writ_host.governor.peering import frames, handshake, session
from writ_host.governor.peering.transport import PeerTransport
from writ_host.governor.proposals import messages as core_messages
from writ_host.keys import dkg, identity

ROOT = DOCS.parent
PAGE = (DOCS / "governor-protocol.md").read_text()
PROSE = " ".join(FENCE.sub("", PAGE).split())
GRAMMAR = "".join(text for language, _, text in FENCE.findall(PAGE) if language == "cddl") + CDDL
CONSENSUS = (
    *("submit", "round-proposal", "prevote", "signing-session", "share"),
    *("replica-status", "prevote-quorum", "decided", "hello", "seen"),
)
COSIGNING = ("ask", "offer", "refuse", "pick", "answer")
CORE = ("propose", "approve", "capsules", "pull", "want", "summary")
RESERVATIONS = ("ask-reservations", "reservations")
RULES = {
    **dict(enumerate(CONSENSUS)),
    **dict(enumerate(COSIGNING, 16)),
    **dict(enumerate((*CORE, *RESERVATIONS), 32)),
    **dict(enumerate(("have", "want-files", "file", "change"), 48)),
}
# The rule of a file's body by the step in its envelope, without the number of the attempt.
FOUNDING = {"round1": "round1", "round2": "round2", "confirm": "confirm"}
SIGNING = {"commit": "commit", "select": "select", "share": "sign-share"}
RESHARING = {"deal": "deal", "confirm": "confirm"}
STEPS = {**FOUNDING, **SIGNING, **RESHARING}
# Of each type, so many messages are validated.
EACH_MAX = 8


@functools.cache
def validator(rule: str) -> Any:
    return cddl_verifier.Validator(f"start = {rule}\n{GRAMMAR}")


def check(rule: str, data: bytes) -> None:
    """Fail unless the item fits the rule, and no item fits in which one place is another."""
    result = validator(rule).validate(data)
    assert result.valid, (rule, data.hex(), result.diagnostics)
    items = codec.a_list(codec.load(data))
    other = {"no": "such"}
    changed = [[*items[:place], other, *items[place + 1 :]] for place in range(len(items))]
    for one in (*changed, [*items, other]):
        assert not validator(rule).validate(codec.dump(one)).valid, (rule, one)


class Recorder:
    """Checks the first messages of each type, and counts them by rule."""

    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()

    def message(self, data: bytes) -> None:
        self.item(RULES[core_messages.type_of(data)], data)

    def item(self, rule: str, data: bytes) -> None:
        if self.checked[rule] < EACH_MAX:
            self.checked[rule] += 1
            check(rule, data)


@pytest.mark.slow
def test_messages_of_decisions_fit(tmp_path: Path) -> None:
    cluster, seen = Cluster(tmp_path), Recorder()

    def record(sender: int, to: int, data: bytes) -> bool:
        seen.message(data)
        return False

    cluster.lose = record
    private = crypto.p256_generate()
    evidence = evidence_of(member_request(private, "tank"))
    id = cluster.propose(1, [member_payload(private, "tank", 101)], evidence)
    cluster.step()
    cluster.approve(2, id)
    for _ in range(40):
        cluster.step()
    cluster.down.add(4)
    id = cluster.propose(1, cluster.revocation(bytes(8)))
    cluster.step()
    for number in (2, 3):
        cluster.approve(number, id)
    cluster.run(lambda: cluster.all_at(2))
    cluster.restart(4)
    cluster.run(lambda: cluster.all_at(2))
    crafted = [
        [38, ""],
        [39, None, [["n/tank", bytes(8), 1], ["a/7", bytes(8), 1]]],
        [36, [bytes(16)]],
    ]
    for items in crafted:
        seen.message(codec.dump(items))
    # a quorum's proof, a refusal and a pull are rarely needed; test_foreign_data.py sends them
    assert {*CONSENSUS, *COSIGNING, *CORE, *RESERVATIONS} - seen.checked.keys() <= {
        "prevote-quorum",
        "refuse",
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["founding", "refresh", "succeed"])
def test_messages_and_files_of_ceremonies_fit(kind: str) -> None:
    names = ("anna", "ben", "carl", "dora")
    network = Network(names) if kind == "founding" else found(names)
    seen = Recorder()

    def record(sender: str, receiver: str, data: bytes) -> bytes:
        items = codec.load(data)
        assert isinstance(items, list)
        if isinstance(items[0], int):
            seen.message(data)
            if items[0] == FILE:
                file(items[2], items[3])
            elif items[0] == CHANGE:
                body = codec.a_list(codec.load(items[1]))[4]
                seen.item("plan" if kind == "refresh" else "invitation", body)
        return data

    def file(name: str, data: bytes) -> None:
        if name.endswith(".signed.cbor"):
            seen.item("signed", data)
            return
        seen.item("envelope", data)
        items = codec.a_list(codec.load(data))
        step = items[3]
        seen.item(STEPS[step if step in STEPS else step.rstrip("0123456789")], items[4])

    network.tamper = record
    if kind == "founding":
        invitation = network.invitation()
        seen.item("invitation", invitation.to_bytes())
        network.invite(invitation)
        network.run(network.founded)
        status = network["anna"].process.status(invitation.id)
        seen.item("ceremony-status", status)
    else:
        genesis = network["anna"].seats[0].genesis
        charter = None if kind == "refresh" else Charter(capsules.parse(genesis[0]))
        network.propose("anna", kind, names if charter else (), charter=charter)
        network.run(lambda: all(network[name].nexts for name in names))
    signed = {*FOUNDING.values(), *SIGNING.values(), "signed", "invitation"}
    wanted = {
        "founding": signed | {"ceremony-status"},
        "succeed": signed | {"change"},
        "refresh": {"plan", "change", *RESHARING.values()},
    }
    assert wanted[kind] | {"have", "want-files", "file", "envelope"} <= seen.checked.keys()


# --- names and numbers ----------------------------------------------------------------------------


def plain(text: str) -> str:
    """CDDL without comments, with spaces only between words."""
    text = " ".join(line.split(";")[0] for line in text.splitlines())
    return re.sub(
        r"([\[\]{},+*?/:=])\s+", r"\1", re.sub(r"\s+([\[\]{},/:=])", r"\1", " ".join(text.split()))
    )


def rules(text: str) -> dict[str, str]:
    """The rules `name = [...]` of a text, by name."""
    found = {}
    for match in re.finditer(r"^ *([\w-]+) *= (?=\[)", text, re.M):
        depth, end = 0, match.end()
        while end == match.end() or depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        found[match[1]] = plain(text[match.end() : end])
    return found


DOCUMENTED = rules(GRAMMAR)
SOURCES = {
    cosign: ("ask", "offer", "refuse", "pick", "answer"),
    core_messages: ("propose", "approve", "capsules", "pull", "want", "summary"),
    gossip: ("have", "want-files", "file", "version"),
    manager: ("change",),
    invitation: ("invitation", "predecessor"),
    identity: ("envelope",),
}


def items_of(text: str) -> list[str]:
    """The items of the list that a rule describes."""
    found, depth = [""], 0
    for letter in text[1:-1]:
        depth += {"[": 1, "{": 1, "(": 1, "]": -1, "}": -1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


@pytest.mark.parametrize("module", SOURCES, ids=lambda one: one.__name__.rpartition(".")[2])
def test_docstrings_of_modules_name_the_same_items(module: Any) -> None:
    said = rules(module.__doc__)
    for name in SOURCES[module]:
        ours, pages = items_of(said[name]), items_of(DOCUMENTED[name])
        assert len(ours) == len(pages), name
        # the type of a message, or the tag of a file
        assert ours[0] == pages[0] or not pages[0].startswith(('"', *"0123456789")), name


def test_consensus_messages_have_these_fields() -> None:
    for kind, cls in messages._CLASSES.items():
        items = items_of(DOCUMENTED[CONSENSUS[kind]])
        assert items[0] == str(kind) and len(items) == 1 + len(cls.DECODERS), cls.__name__


def test_types_of_messages() -> None:
    listed = rows(PAGE, "types", "what", "of")
    ranges = [tuple(map(int, re.findall(r"\d+", row[0]))) for row in listed]
    consensus, unordered, proposed, told, files, changes = [(one[0], one[-1]) for one in ranges]
    assert consensus == (min(messages._CLASSES), max(messages._CLASSES))
    assert unordered == (cosign.ASK, cosign.ANSWER)
    assert proposed == (core_messages.PROPOSE, core_messages.SUMMARY)
    assert told == (core_messages.ASK_RESERVATIONS, core_messages.RESERVATIONS)
    assert files == (gossip.HAVE, gossip.FILE) and changes == (manager.CHANGE,) * 2
    for row in listed:
        assert (ROOT / "host/writ_host" / ticked(row[2])[0]).is_file()


def test_numbers_of_peering() -> None:
    for words in (
        f"Connection ids have {handshake.CONNECTION_ID_BYTES} bytes",
        f"at most {frames.DATAGRAM_BYTES_MAX:,} bytes",
        f"({handshake.ECHO_BYTES} bytes, good for {handshake.ECHO_MS // 1000} to"
        f" {handshake.ECHO_MS // 500} s",
        "repeats after 250, 500, 1,000 and 2,000 ms",
        f"as many as fit {frames.PAYLOAD_BYTES_MAX:,} bytes",
        f"due {session.KEEPALIVE_MS // 1000} s after",
        f"received nothing for {session.SILENCE_MS // 1000} s",
        f"Q-Block1 (option {frames.Q_BLOCK1}, RFC 9177) with SZX {frames._SZX}",
        f"Request-Tag (option {frames.REQUEST_TAG}, RFC 9175) of {frames.TAG_BYTES} bytes",
        f"and {frames.FRAGMENT_BYTES:,} bytes of a longer message",
        f"at most {frames.MESSAGE_BYTES_MAX:,} bytes",
    ):
        assert words in PROSE, words
    assert handshake.RETRY_MS == (250, 500, 1000, 2000) and session.REKEY_MS == 3_600_000


def test_datagrams_of_a_new_session() -> None:
    private = [crypto.sha256(name) for name in (b"anna", b"ben")]
    sides = [PeerTransport(one) for one in private]
    sides[0].set_peers({sides[1].key: "10.0.0.2:5685"})
    sides[1].set_peers({sides[0].key: "10.0.0.1:5685"})
    sides[0].send(sides[1].key, b"\x81\x00")
    addresses = ("10.0.0.1:5685", "10.0.0.2:5685")
    heads, arrived = [], []
    for step in range(8):
        me = step % 2
        for _, datagram in sides[me].flush(1000 + step):
            if me and b"edhoc" in datagram:
                # only one side starts a handshake here
                continue
            # the type NON, then the code
            assert datagram[0] & 0xF0 == 0x50
            heads.append(datagram[1])
            arrived += sides[1 - me].receive(datagram, addresses[me], 1000 + step)
    # POST, 4.01 with Echo, POST, 2.04, message_3, then OSCORE only
    assert heads[:5] == [2, 0x81, 2, 0x44, 2] and set(heads[5:]) == {2}
    assert arrived == [(sides[0].key, b"\x81\x00")]


def test_the_size_of_a_value() -> None:
    assert f"value           = [1*{PAYLOADS_MAX} payload]" in PAGE


def test_the_format_of_fingerprints() -> None:
    assert dkg.fingerprint_digits(bytes(31) + b"\x07").split() == ["00000"] * 7 + ["00007"]
    assert "number modulo 10^40, in eight groups of five digits" in PROSE


def test_the_format_of_a_plan() -> None:
    said = items_of(rules(plan.__doc__ or "")["plan"])
    assert len(said) == len(items_of(DOCUMENTED["plan"]))
