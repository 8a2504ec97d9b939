"""The figures of a run as text."""

from collections.abc import Iterator, Mapping
from typing import Any

_REAL = (
    "real: node, mesh, signatures, sessions (EDHOC, OSCORE), link key, airtime budget;"
    " device limits at nodes, host limits at gateways"
)
_CORE = (
    "real: the mesh core alone (frames, routing, spread of epochs), signatures of capsules,"
    " link key, airtime budget; no sessions, no requests, and each node has all member capsules"
)
_SIMULATED = (
    "simulated: radios and channel (tools/radio), flash in memory; computing takes no time;"
    " one Ed25519 key in the place of the governors' shares"
)


def as_text(figures: Mapping[str, Any]) -> str:
    """Lines for a reader."""
    return "\n".join(_lines(figures))


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    plan, form, whole = figures["plan"], figures["form"], figures["whole"]
    yield (
        f"{plan['nodes']} nodes and {form['gateways']} gateways on {form['side_km']} km square,"
        f" SF{plan['spreading_factor']}, seed {plan['seed']}"
    )
    yield f"  {_CORE if plan['is_core'] else _REAL}"
    yield f"  {_SIMULATED}"
    yield (
        f"  a node hears {form['neighbours_mean']} others; fewest hops to a gateway:"
        f" {form['hops_possible_mean']} on average, {form['hops_possible_max']} at most"
    )
    yield (
        f"form      {form['with_parent']:.1%} have a parent, {_seconds(form['all_with_parent_s'])}"
        f" until all; hops {form['hops_mean']} on average, {form['hops_max']} at most"
    )
    yield from _traffic(form)
    if "readings" in figures:
        yield from _readings(figures["readings"])
    yield f"rest      {figures['rest']['airtime_share_mean']:.3%} of the time on air, each node"
    yield from _traffic(figures["rest"])
    yield from _spread(figures)
    yield (
        f"whole     {whole['virtual_s'] / 3600:.1f} hours of virtual time; the busiest hour of a"
        f" node has {whole['hour_airtime_permille_max'] / 10:.2f} % airtime of"
        f" {whole['duty_cycle_permille'] / 10:g} %"
    )
    yield (
        f"          radio (SX1262, always listening): {whole['radio_ma_mean']} mA on average,"
        f" {whole['battery_days_always_listening']:g} days of 6,800 mAh"
    )


def _readings(readings: Mapping[str, Any]) -> Iterator[str]:
    latency = readings["latency_s"]
    yield (
        f"readings  {readings['received']} of {readings['made']} received"
        f" ({_share(readings['delivery_share'])}), confirmed {_share(readings['confirmed_share'])}"
        + (f"; {latency['mean']:.1f} s on average, {latency['p95']:.1f} s p95" if latency else "")
    )
    yield (
        f"          {readings['asked']} requests of gateways to nodes:"
        f" {_share(readings['answered_share'])} answered"
    )
    yield from _traffic(readings)


def _spread(figures: Mapping[str, Any]) -> Iterator[str]:
    spread, flood = figures["spread"], figures["flood"]
    seconds, airtime = spread["seconds"], spread["airtime_s"]
    yield (
        f"spread    an amendment of {spread['capsule_bytes']} bytes reaches"
        f" {spread['reached']:.1%}: 50 % in {_seconds(seconds['50'])},"
        f" 95 % in {_seconds(seconds['95'])}, 100 % in {_seconds(seconds['100'])}"
    )
    yield (
        f"          airtime of all nodes: {_seconds(airtime['95'])} to 95 %,"
        f" {_seconds(airtime['100'])} to 100 %; without what the field sends at rest"
        f" {_seconds(spread['airtime_net_s']['95'])} to 95 %,"
        f" {_seconds(spread['airtime_net_all_s'])} in all"
    )
    yield from _traffic(spread)
    yield (
        f"flood     the same bytes by naive flooding reach {flood['reached']:.1%}: 95 % in"
        f" {_seconds(flood['seconds']['95'])}, airtime {_seconds(flood['airtime_s']['95'])} to"
        f" 95 %, {_seconds(flood['airtime_all_s'])} in all"
    )
    share, share_all = figures["share_amendment_airtime"], figures["share_amendment_airtime_all"]
    yield (
        f"share     airtime of the amendment / of naive flooding: {_number(share)} to 95 %,"
        f" {_number(share_all)} in all"
    )


def _traffic(part: Mapping[str, Any]) -> Iterator[str]:
    airtime, length = part["airtime_ms_node"], part["bytes_node"]
    kinds = ", ".join(f"{what} {s:g} s" for what, s in part["airtime_by_kind_s"].items() if s)
    yield (
        f"          a node: {length['mean']:.0f} bytes (p95 {length['p95']:.0f}, max"
        f" {length['max']:.0f}), {airtime['mean'] / 1000:.2f} s on air (p95"
        f" {airtime['p95'] / 1000:.2f}, max {airtime['max'] / 1000:.2f}); overhead"
        f" {_share(part['overhead_share'])}"
    )
    if kinds:
        yield f"          {kinds}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
