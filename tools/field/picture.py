"""Pictures of a run as PNG files: the field coloured by epoch, and the curve of convergence.

Drawn with Pillow, four times as large and then reduced, which smooths edges.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from field.field import Field
from field.measure import Run, Snapshot

_SCALE = 4
_WIDTH, _HEIGHT = 720, 760
_MARGIN, _TOP = 40, 70
_CURVE = (900, 520)
_WHITE, _BLACK, _GREY = (255, 255, 255), (30, 30, 30), (205, 205, 205)
# old epoch, new epoch, gateway, a node without a way to a gateway
_OLD, _NEW, _GATEWAY, _LOST = (214, 96, 77), (33, 120, 180), (20, 20, 20), (150, 150, 150)
_NO_RANK = 255

Colour = tuple[int, int, int]


class _Sheet:
    # coordinates in pixels of the finished picture

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._image = Image.new("RGB", (width * _SCALE, height * _SCALE), _WHITE)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        box = [(value + sign * radius) * _SCALE for sign in (-1, 1) for value in (x, y)]
        self._draw.ellipse(box, fill=colour, outline=_WHITE, width=_SCALE // 2)

    def square(self, x: float, y: float, radius: float, colour: Colour) -> None:
        box = [(value + sign * radius) * _SCALE for sign in (-1, 1) for value in (x, y)]
        self._draw.rectangle(box, fill=colour, outline=_WHITE, width=_SCALE)

    def text(self, x: float, y: float, text: str, size: int = 15, anchor: str = "lm") -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, fill=_BLACK, font=font, anchor=anchor)

    def save(self, path: Path) -> None:
        self._image.resize(self._size, Image.Resampling.LANCZOS).save(path, optimize=True)


def draw_all(run: Run, folder: Path) -> list[Path]:
    """Write all pictures of a run into a folder, which is made. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, snapshot in enumerate(run.snapshots):
        paths.append(folder / f"field-{number}.png")
        _draw_field(run.field, snapshot, paths[-1])
    paths.append(folder / "convergence.png")
    _draw_curve(run, paths[-1])
    return paths


def _draw_field(field: Field, snapshot: Snapshot, path: Path) -> None:
    sheet = _Sheet(_WIDTH, _HEIGHT)
    scale = (_WIDTH - 2 * _MARGIN) / (1000 * field.side_km)
    places = []
    for name in field.names:
        x, y, _ = field.channel.radios[name].position
        places.append((_MARGIN + x * scale, _TOP + y * scale))
    newest = field.scope.epoch
    nodes = snapshot.epochs[field.plan.gateway_count :]
    count = sum(epoch >= newest for epoch in nodes)
    sheet.text(
        _MARGIN,
        24,
        f"{snapshot.seconds:.0f} s after the amendment: {count} of {len(nodes)} nodes at epoch"
        f" {newest}",
        18,
    )
    _draw_legend(sheet, newest)
    for who, member in enumerate(field.members):
        routing = member.frames and member.frames.mesh.routing
        for parent in routing.parents[:1] if routing else ():
            sheet.line([places[who], places[parent.address - 1]], _GREY, 1)
    radius = 6 if len(field.members) <= 150 else 4
    for who, place in enumerate(places):
        if field.is_gateway(who):
            sheet.square(*place, radius + 2, _GATEWAY)
            continue
        colour = _NEW if snapshot.epochs[who] >= newest else _OLD
        sheet.dot(*place, radius, colour)
    side = _WIDTH - 2 * _MARGIN
    end = _MARGIN, _TOP + side
    corners = [(_MARGIN, _TOP), (_MARGIN + side, _TOP), (_MARGIN + side, _TOP + side), end]
    sheet.line([*corners, corners[0]], _GREY, 1)
    sheet.text(_WIDTH - _MARGIN, _TOP + side + 14, f"side {field.side_km:.1f} km", 13, "rm")
    sheet.save(path)


def _draw_legend(sheet: _Sheet, newest: int) -> None:
    x = _MARGIN + 6
    for colour, text in ((_NEW, f"epoch {newest}"), (_OLD, "an earlier one")):
        sheet.dot(x, 50, 5, colour)
        sheet.text(x + 10, 50, text, 13)
        x += 120
    sheet.square(x, 50, 6, _GATEWAY)
    sheet.text(x + 12, 50, "gateway", 13)
    sheet.line([(x + 90, 50), (x + 115, 50)], _GREY, 2)
    sheet.text(x + 121, 50, "to its parent", 13)


def _draw_curve(run: Run, path: Path) -> None:
    width, height = _CURVE
    left, right, top, bottom = 70, width - 30, 60, height - 60
    sheet = _Sheet(width, height)
    plan, flood = run.plan, run.figures["flood"]
    last_s = max([at_s for at_s, _ in run.curve] + [1.0]) * 1.03

    def at(seconds: float, share: float) -> tuple[float, float]:
        return left + (right - left) * seconds / last_s, bottom - (bottom - top) * share

    sheet.text(
        left, 26, f"Nodes at the new epoch: {plan.nodes} nodes, SF{plan.spreading_factor}", 18
    )
    for share in (0, 0.25, 0.5, 0.75, 0.95, 1):
        sheet.line([at(0, share), at(last_s, share)], _GREY, 1)
        sheet.text(left - 10, at(0, share)[1], f"{100 * share:g} %", 13, "rm")
    for part in range(6):
        x, y = at(last_s * part / 5, 0)
        sheet.text(x, y + 16, f"{last_s * part / 5:.0f}", 13, "mm")
    sheet.text((left + right) / 2, bottom + 40, "seconds since the amendment", 14, "mm")
    steps = [at(0, 0)]
    before = 0.0
    for seconds, share in [*run.curve, (last_s, run.curve[-1][1])]:
        steps += [at(seconds, before), at(seconds, share)]
        before = share
    sheet.line(steps, _NEW, 3)
    share = run.figures["share_amendment_airtime"]
    if share is not None:
        text = f"airtime to 95 %: {share:g} times that of naive flooding"
        sheet.text(right - 10, bottom - 26, text, 14, "rm")
    if flood["seconds"]["95"] is not None:
        text = f"naive flooding reaches 95 % in {flood['seconds']['95']:.0f} s"
        sheet.text(right - 10, bottom - 48, text, 14, "rm")
    sheet.save(path)
