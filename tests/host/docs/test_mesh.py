"""Compares docs/wire.md and docs/mesh.md with the mesh: frames, fragments, compression, times."""

from __future__ import annotations

import json
import math
import re
import statistics

import signer
from docs_rig import DOCS, PROSE, WIRE, raw, rows, ticked
from lossy_rig import link
from policy_farm import parse

from writ.configfile import check_config
from writ.limits import FRAME_TRIES_HEARD_MAX, FRAME_TRIES_MAX
from writ.mesh import compress as module
from writ.mesh import frame as frames
from writ.mesh import inbox, neighbour, outbox, routing
from writ.mesh.brief import shorten
from writ.mesh.compress import compress, expand
from writ.mesh.fragment import Reassembly
from writ.mesh.frame import (
    DATA,
    DOWN,
    HEADER_BYTES,
    HEADER_BYTES_JOIN,
    HEADER_BYTES_ROUTED,
    JOIN_CLASS,
    LOCAL,
    UP,
    Frame,
    decode,
)
from writ.mesh.permit import GOVERNANCE, MESSAGES
from writ.mesh.routing import HELLO, PART, POLL, WANT
from writ_host.cli.layout import field_lines, table_lines
from writ_host.cli.memberstatus import COLUMNS, summary
from writ_host.cli.memberstatus import rows as rows_of
from writ_host.cli.output import _cell
from writ_host.node.meshstatus import SLEEPER_COLUMNS, describe_mesh, sleeper_rows
from writ_host.policy.lint import warnings
from writ_host.policy.template import template

TEXT = " ".join(PROSE.split())
MESH = (DOCS / "mesh.md").read_text()
KEY = bytes(range(16))


def test_the_frame_of_the_example() -> None:
    message = compress(raw("later"))
    frame = Frame(1, DATA, 3, 2, 70000, message, 2, UP, 4, 3)
    data = frame.encode(signer.scope()[0], KEY)
    assert raw("frame") == data
    found = decode(data, data[1])
    assert found.is_authentic(KEY, 70000 >> 16) and found.payload == message


def test_the_sizes_of_the_headers() -> None:
    sizes = HEADER_BYTES, HEADER_BYTES_ROUTED, HEADER_BYTES_JOIN
    said = re.search(
        r"has (\d+) bytes to a neighbour and (\d+) over several hops; a join frame has (\d+)",
        TEXT,
    )
    assert said and tuple(map(int, said.groups())) == sizes
    for table, names in ((("shape", "name", "way"), (LOCAL, UP, DOWN)),):
        assert [int(row[0]) for row in rows(WIRE, *table)] == list(names)
    kinds = rows(WIRE, "kind", "name", "payload")
    assert [getattr(frames, row[1]) for row in kinds] == [int(row[0]) for row in kinds]
    controls = rows(WIRE, "kind of control", "name", "content")
    values = neighbour.GREET, neighbour.ANSWER, neighbour.PROOF, HELLO, POLL, WANT, PART
    assert [int(row[0]) for row in controls] == list(values)


def test_the_capsule_for_a_neighbourhood() -> None:
    capsule = raw("revocation")
    content = bytes((PART, 0, 1)) + (1 << 10).to_bytes(2, "big") + shorten(capsule, 1)
    frame = Frame(0, frames.CONTROL, 3, frames.BROADCAST, 70000, content, 2)
    assert raw("part") == frame.encode(signer.scope()[0], KEY)
    frame = Frame(0, frames.CONTROL, 2, frames.BROADCAST, 70000, bytes((WANT, 0, 1, 0, 3)), 1)
    assert raw("want") == frame.encode(signer.scope()[0], KEY)


def test_the_fragments_of_the_example() -> None:
    capsule = raw("revocation")
    assert f"`revocation` of above has {len(capsule)} bytes" in TEXT
    second, ack = raw("fragment"), raw("fragment-ack")
    assert len(second) + 16 == 51 and (len(ack), len(capsule)) == (2, 3 * 33)
    reassembly = Reassembly(1000)
    for index in (0, 2):
        head = (5 << 10 | index << 5 | 2).to_bytes(2, "big")
        answer = reassembly.receive(1, head + capsule[33 * index :][:33], 0)
    assert answer == (None, ack)
    assert reassembly.receive(1, second, 0) == (capsule, b"\x05")


def test_the_averages_of_a_bad_link() -> None:
    runs = [link(seed, 0.2) for seed in range(1000)]
    for run in runs:
        run.run()
    frames = statistics.mean(run.frames for run in runs)
    acks = statistics.mean(run.count - run.frames for run in runs)
    assert f"take {frames:.1f} fragments and {acks:.1f} acknowledgements on average" in TEXT


def test_the_rules_are_those_of_the_code() -> None:
    table = rows(WIRE, "rule", "continues", "the datagram's next bytes", "meaning")
    made = b""
    for number, (rule, parent, content, meaning) in enumerate(table, 1):
        assert int(rule) == number and int(parent or 0) < number and meaning
        made += bytes((int(parent or 0),))
        for part in ticked(content)[0].split():
            made += b"*" + bytes((int(part[1:]),)) if part[0] == "*" else bytes.fromhex(part)
        made += b"|"
    assert made == module._RULES


def test_the_fixed_bytes_of_the_rules_are_no_marks() -> None:
    # each "*" opens bytes, each "|" ends a rule
    table = rows(WIRE, "rule", "continues", "the datagram's next bytes", "meaning")
    for row in table:
        assert not {"2a", "7c"} & set(row[2].strip("`").split())
        assert "*124" not in row[2]
    assert len(table) == module._RULES.count(b"|") < 64


def test_the_compressed_datagrams() -> None:
    sizes = {}
    for row in rows(
        WIRE, "datagram", "bytes", "compressed", "in a frame to a neighbour", "in a frame over hops"
    ):
        datagram = raw(ticked(row[0])[0])
        data = compress(datagram)
        assert expand(data) == datagram
        assert [int(cell) for cell in row[1:]] == [
            len(datagram),
            len(data),
            len(data) + 14,
            len(data) + 16,
        ]
        sizes[ticked(row[0])[0]] = len(data)
    said = re.search(r"cost (\d+) and (\d+) bytes on air to a neighbour, and (\d+) and (\d+)", TEXT)
    assert said
    both = sizes["later"], sizes["response"]
    assert tuple(map(int, said.groups())) == tuple(n + more for more in (14, 16) for n in both)
    # a frame of 51 bytes holds each
    assert max(both) + 16 <= 51
    for name in ("later", "response"):
        assert raw(f"{name}-compressed") == compress(raw(name))


def test_config_json_takes_the_links_of_the_example() -> None:
    found = re.search(r"```json\n(.*?)```", MESH, re.DOTALL)
    assert found
    config = json.loads(found[1])
    assert [link["kind"] for link in config["links"]] == ["lora", "serial"]
    check_config(config)


def test_the_routes_of_the_example_make_a_mesh() -> None:
    found = re.search(r"```toml\n(.*?)```", MESH, re.DOTALL)
    assert found
    roles = template("farm").replace('"moves things"', '"moves things"\nrelay = "forwards"')
    file = parse(roles + found[1])
    assert [route.row[0] for route in file.routes] == [GOVERNANCE, MESSAGES, JOIN_CLASS]
    assert warnings(file, has_links=True) == []


def test_the_airtime_of_the_example() -> None:
    found = re.search(r"```text\n(.*?)```", MESH, re.DOTALL)
    assert found
    noisiest = [[0x101, 3100], [0x102, 900]]
    links = [[2, 4430, 36000, [], noisiest, {}, None]]
    mesh = {"rank": 2, "gateway": 0x100, "parents": [0x101], "links": links}
    shown = describe_mesh(mesh, {0x100: "gate", 0x101: "hill", 0x102: "soil"})
    lines = field_lines({label: str(value) for label, value in shown.items()}, None)
    assert [line.split(None) for line in found[1].splitlines()] == [line.split() for line in lines]


def test_the_sleepers_of_the_example() -> None:
    found = re.search(r"```text\nnodes that sleep\n(.*?)```", MESH, re.DOTALL)
    assert found
    rows = sleeper_rows({"sleepers": [[0x102, 900, 90, 2]]}, {0x102: "soil"})
    assert found[1].splitlines() == table_lines(SLEEPER_COLUMNS, rows, None)


def test_the_times_of_the_routing() -> None:
    text = " ".join(MESH.split())
    longest_min = round((routing._INTERVAL_MS << routing._DOUBLINGS) / 60000)
    assert f"{routing._INTERVAL_MS // 1000} s, doubled up to {longest_min} minutes" in text
    assert f"waits {routing._PAUSE_MS // 1000} seconds before it takes another one there" in text
    assert f"keeps the message for up to {inbox._PARKED_MS // 1000} seconds" in text
    assert f"acknowledges none of {FRAME_TRIES_MAX} transmissions" in text
    # each pause is twice the one before, and up to half as long again
    patience = math.ceil(1.5 * (2**FRAME_TRIES_MAX - 1))
    assert f"at most {patience} times the time that a link waits for a receipt" in text
    patience = math.ceil(1.5 * (2**FRAME_TRIES_HEARD_MAX - 1))
    assert f"gets {FRAME_TRIES_HEARD_MAX} transmissions, in at most {patience} of those" in text
    assert f"which is {outbox._TURNAROUND_MS} ms and twice the airtime" in text


def test_the_members_of_the_example() -> None:
    found = re.search(r"```text\n(member  .*?)```", MESH, re.DOTALL)
    assert found
    none = dict.fromkeys(
        ("problem", "sleep_s", "expected_s", "epoch", "is_newest", "hops", "has_mesh", "parent",
         "spent_ms", "budget_ms", "heard_s", "heard_by", "address")
    )  # fmt: skip
    on_air = {"has_mesh": True, "budget_ms": 36000}
    via = "via 10.0.0.7:5683"
    documents: list[dict[str, object]] = [
        {"name": "desk", "roles": ["gateway"], "state": "this node", "epoch": 7},
        {
            **on_air, "name": "gate", "roles": ["gateway"], "state": "online", "epoch": 7,
            "hops": 0, "spent_ms": 4430, "address": "10.0.0.7:5683",
        },
        {
            **on_air, "name": "hill", "roles": ["gateway"], "state": "online", "epoch": 6,
            "hops": 1, "parent": "gate", "is_newest": False, "spent_ms": 1440,
            "address": f"mesh:0101 {via}",
        },
        {
            "name": "soil", "roles": ["sensor"], "state": "asleep", "sleep_s": 900,
            "expected_s": 780, "heard_s": 120, "heard_by": "hill", "address": f"mesh:0102 {via}",
        },
    ]  # fmt: skip
    filled = [{**none, **one} for one in documents]
    cells = [[_cell(value) for value in row] for row in rows_of(filled)]
    assert found[1].splitlines() == [*table_lines(COLUMNS, cells, None), summary(filled)]
