"""Draw the pictures of docs/architecture.md: folders and imports, one datagram, one proposal.

    python tools/draw_architecture.py      # writes docs/architecture*.svg

The output depends on nothing but this file. tests/host/docs/test_architecture.py checks that the
committed pictures are what this file draws.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, MARGIN = 880, 24
# Width of a letter as a part of the font size; wide enough for the usual sans-serif fonts.
LETTER, MONO_LETTER = 0.56, 0.62
STYLE = """
    .page { fill: #f5f8fa }
    .device { fill: #e3eef7; stroke: #24425c }
    .host { fill: #fdf3d8; stroke: #9a7414 }
    .group { fill: #ffffff; stroke: #b9c4cd }
    .exit { fill: #fde4e1; stroke: #a4332a }
    .aside { fill: #e8f3e6; stroke: #3f7a35 }
    .line { stroke: #24425c; stroke-width: 1.8; fill: none }
    .head { fill: #1b2a38; font-size: 18px; font-weight: 600 }
    .name { fill: #1b2a38; font-size: 14px; font-weight: 600;
            font-family: ui-monospace, Menlo, Consolas, monospace }
    .text { fill: #3a4957; font-size: 14px }
    .note { fill: #50606e; font-size: 13px }
"""
SIZES = {"head": 18, "name": 14, "text": 14, "note": 13}


@dataclass
class Picture:
    """An SVG under construction. Coordinates are pixels, the origin is the top left corner."""

    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, height: int, kind: str) -> None:
        """A rounded rectangle; `kind` is its class in STYLE."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" class="{kind}"'
            ' stroke-width="1.5"/>'
        )

    def write(
        self, x: int, y: int, text: str, kind: str = "text", room: int = WIDTH, anchor: str = ""
    ) -> None:
        """A line of text with its baseline at `y`. Raises ValueError if `room` is too narrow."""
        width = len(text) * SIZES[kind] * (MONO_LETTER if kind == "name" else LETTER)
        if width > room:
            raise ValueError(f"{text!r} needs {width:.0f} px and has {room}")
        place = f' text-anchor="{anchor}"' if anchor else ""
        self.parts.append(f'<text x="{x}" y="{y}" class="{kind}"{place}>{escape(text)}</text>')

    def arrow(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """A line with its head at the end."""
        self.parts.append(f'<path d="M{x} {y}L{to_x} {to_y}" class="line" marker-end="url(#a)"/>')

    def card(self, x: int, y: int, width: int, height: int, kind: str, *lines: str) -> None:
        """A box with a centred name and, below it, smaller lines."""
        self.box(x, y, width, height, kind)
        top = y + (height - 18 * len(lines)) // 2 + 14
        for number, line in enumerate(lines):
            style = "note" if number else "name"
            self.write(x + width // 2, top + 18 * number, line, style, width - 8, "middle")

    def svg(self) -> str:
        """The whole file."""
        body = "\n  ".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}"'
            f' font-family="system-ui, sans-serif" role="img">\n  <title>{escape(self.title)}'
            f"</title>\n  <style>{STYLE}  </style>\n"
            '  <defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="#24425c"/></marker>'
            f'</defs>\n  <rect width="{WIDTH}" height="{self.height}" rx="10" class="page"/>\n'
            f"  {body}\n</svg>\n"
        )


# --- folders and imports ------------------------------------------------------------------------


def folders() -> Picture:
    """The folders of host and device core; each imports only what is below it."""
    picture = Picture(822, "The folders of Writ. Imports run downwards only.")
    picture.write(MARGIN, 36, "Folders. Imports run downwards only.", "head")

    left, width = 24, 540
    picture.write(left, 68, "host/writ_host: CPython, governors and operators", "text")
    top = _rows(
        picture,
        (left, width, 80, "host"),
        [[("demo", "a whole scope on one machine")]],
        [[("cli", "the command writ: parses, calls, prints")]],
        [[("bridge", "a member at an MQTT broker"), ("device", "boards: build, flash")]],
    )
    picture.box(left, top, width, 36 + 5 * 62 + 4, "group")
    picture.write(left + 14, top + 24, "governor", "name")
    picture.write(left + 92, top + 24, "the daemon of one governor", "note")
    inner = _rows(
        picture,
        (left + 12, width - 24, top + 36, "host"),
        [[("client", "commands of operators to running daemons")]],
        [[("daemon, governor, api, node, ...", "loop, seat, operators, devices")]],
        [[("core", "joins all parts"), ("ceremonies", "new shares"), ("peering", "EDHOC, UDP")]],
        [[("ledger", "SQLite: what must be durable")]],
        [[("proposals", "the judge, approvals, statements")]],
    )
    top = _rows(
        picture,
        (left, width, inner + 12, "host"),
        [[("scope", "a scope as operators see it: admission, issuance, delivery")]],
        [
            [
                ("consensus", "agreement, cosigning"),
                ("ceremony", "steps by files"),
                ("node", "a node on a host"),
            ]
        ],
        [[("keys", "FROST, DKG, HPKE"), ("policy", "policy.toml")]],
        [[("errors codec files humanize target refusals", "")]],
    )
    picture.height = top + MARGIN
    _device_folders(picture, top, left + width)
    return picture


def _device_folders(picture: Picture, bottom: int, edge: int) -> None:
    """The device core beside the host's lowest rows, which end at `bottom`; the host at `edge`."""
    right, narrow = 620, 236
    first = bottom - 8 - 6 * 62 - 44
    picture.write(right, first - 30, "firmware/writ: the device core,", "text")
    picture.write(right, first - 12, "MicroPython and CPython", "text")
    _rows(
        picture,
        (right, narrow, first, "device"),
        [[("board", "boot, log, LED, watchdog")]],
        [[("agent framelinks", "node + mesh + links, the loop")]],
        [[("node", "requests"), ("link", "UDP, tty, LoRa")]],
        [[("mesh", "frames over several hops")]],
        [[("authority", "capsules"), ("wire", "protocols")]],
        [[("crypto", "backends"), ("cbor", "canonical")]],
        [[("errors limits compat aes", "")]],
    )
    middle = first + 2 * 62 + 27
    picture.arrow(edge + 2, middle, right - 4, middle)
    picture.write(right, 110, "The host imports writ;", "text")
    picture.write(right, 130, "writ never imports the host.", "text")
    picture.write(right, 162, "Folders in one row do not", "text")
    picture.write(right, 182, "import each other.", "text")


def _rows(
    picture: Picture, place: tuple[int, int, int, str], *rows: list[list[tuple[str, str]]]
) -> int:
    """Rows of cards of equal width, one below the other; returns the y below the last."""
    x, width, y, kind = place
    for (row,) in rows:
        each = (width - 10 * (len(row) - 1)) // len(row)
        height = 54 if row[0][1] else 36
        for number, (name, note) in enumerate(row):
            lines = (name, note) if note else (name,)
            picture.card(x + number * (each + 10), y, each, height, kind, *lines)
        y += height + 8
    return y


# --- ways through the parts -----------------------------------------------------------------------


@dataclass
class Step:
    """One step: the module, what it does (one line or two), and where the way may end or branch."""

    module: str
    lines: tuple[str, ...]
    kind: str = "device"
    exit: tuple[str, ...] = ()
    exit_kind: str = "exit"


def way(title: str, steps: list[Step], groups: dict[int, str]) -> Picture:
    """Steps from top to bottom. groups: heading before the step with this index."""
    picture = Picture(0, title)
    picture.write(MARGIN, 36, title, "head")
    y = 52
    for number, step in enumerate(steps):
        if number in groups:
            picture.write(MARGIN + 124 * bool(number), y + 22, groups[number], "note")
            y += 34
        picture.card(MARGIN, y, 216, 46, step.kind, step.module)
        for line, text in enumerate(step.lines):
            base = y + 28 if len(step.lines) == 1 else y + 19 + 19 * line
            picture.write(256, base, text, "text", 306)
        if step.exit:
            picture.arrow(562, y + 23, 583, y + 23)
            picture.box(586, y, 270, 46, step.exit_kind)
            for line, text in enumerate(step.exit):
                base = y + 28 if len(step.exit) == 1 else y + 19 + 19 * line
                picture.write(721, base, text, "note", 264, "middle")
        if number + 1 < len(steps):
            picture.arrow(132, y + 47, 132, y + (97 if number + 1 in groups else 63))
        y += 64
    picture.height = y + 4
    return picture


DATAGRAM_STEPS = [
    Step(
        "link/udp",
        ("A datagram arrives.",),
        exit=("over links without IP: framelinks", "and mesh make it from frames"),
        exit_kind="aside",
    ),
    Step("agent", ("The loop calls receive(datagram,", "source, now_ms) of the node.")),
    Step("wire/coap", ("Decodes the message strictly.",), exit=("not CoAP: dropped",)),
    Step(
        "wire/exchange",
        ("Finds duplicates; matches responses", "to the node's own requests."),
        exit=("duplicate: the same answer again;", "response: to node/client"),
        exit_kind="aside",
    ),
    Step(
        "node/server",
        ("Finds the session (node/session) by", "the key id of the request."),
        exit=("no OSCORE: a handshake, or a", "capsule, which authority verifies"),
        exit_kind="aside",
    ),
    Step(
        "wire/oscore",
        ("Decrypts it; checks tag and replay", "window; asks for an Echo after a start."),
        exit=("61 Replayed, 62 DecryptionFailed,", "63 EchoRequired"),
    ),
    Step(
        "authority/policy",
        ("The policy in force at this moment", "decides: member, method, path."),
        exit=("30 Revoked, 40 NotAllowed,", "41 NotFresh, 42 NeedsAction"),
    ),
    Step(
        "your program",
        ("The function of the resource runs", "and returns the answer."),
        "host",
        ("a rule requires an action: it is", "marked as used on flash before"),
        "aside",
    ),
    Step("wire/oscore", ("Encrypts the answer and the node's", "own epoch.")),
    Step(
        "node/sync",
        ("If the request named a newer epoch,", "the node asks the peer for it."),
        exit=("a newer policy is verified, written", "to flash, then in force"),
        exit_kind="aside",
    ),
    Step("agent", ("The loop sends the datagrams that", "receive has returned.")),
]


def datagram() -> Picture:
    """A request of a member, from the socket to the resource and back."""
    return way(
        "One request on its way through a device",
        DATAGRAM_STEPS,
        {},
    )


PROPOSAL_STEPS = [
    Step(
        "cli, scope, policy",
        ("writ policy certify: compiles", "policy.toml to a capsule's payload."),
        "host",
    ),
    Step(
        "governor/api",
        ("Takes the proposal from the", "control socket of one daemon."),
        "host",
    ),
    Step(
        "proposals/judge",
        ("Checks it against the state in force", "and explains it to operators."),
        "host",
        ("not acceptable: refused,", "with the reason"),
    ),
    Step(
        "core/pool",
        ("Sends proposals and signed approvals", "to the others; counts operators."),
        "host",
        ("denied by too many: refused;", "another took the epoch: stale"),
    ),
    Step(
        "consensus",
        ("Proposal, prevotes, FROST session,", "shares: one state for each epoch."),
        "host",
        ("members, beacons, actions need no", "order: consensus/cosign"),
        "aside",
    ),
    Step(
        "ledger",
        ("Stores the certified capsule: one", "Ed25519 signature of the group key."),
        "host",
        ("the waiting command reads it and", "stores it in the scope's folder"),
        "aside",
    ),
    Step(
        "governor/push",
        ("The governor's node hands it to the", "members that have a session."),
        "host",
    ),
    Step(
        "authority",
        ("A node verifies the signature, writes", "to flash, then enforces."),
        exit=("a rejection (20 to 37): nothing", "changes but its counter"),
    ),
    Step(
        "node/sync",
        ("Every request and answer carries the", "epoch. A node that is behind pulls."),
    ),
    Step(
        "authority",
        ("The last device verifies and enforces", "without having met a governor."),
    ),
]


def proposal() -> Picture:
    """A policy, from the command line to the certified capsule and to the last device."""
    return way(
        "One proposal on its way to the last device",
        PROPOSAL_STEPS,
        {
            0: "on the operator's machine",
            1: "at one governor",
            3: "at every governor",
            7: "in the field, node by node",
        },
    )


def pictures() -> dict[str, str]:
    """SVG by file name."""
    return {
        "architecture.svg": folders().svg(),
        "architecture-datagram.svg": datagram().svg(),
        "architecture-proposal.svg": proposal().svg(),
    }


if __name__ == "__main__":
    for name, text in pictures().items():
        (DOCS / name).write_text(text)
