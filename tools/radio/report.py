"""What happens on a channel, as lines for a reader or as JSON."""

import json
from typing import Any

from radio.energy import SX1262, charge_mah
from radio.outcome import Happening
from radio.transceiver import HOUR_US, Radio


def as_json(event: Happening) -> str:
    """One line of JSON. Times in ms, levels in dBm and dB. Absent: what does not apply."""
    line: dict[str, object] = {
        "ms": round(event.time_us / 1000, 3),
        "event": event.what,
        "from": event.sender,
        "frame": event.number,
        "bytes": event.length,
        "airtime_ms": round(event.airtime_us / 1000, 3),
    }
    if event.what == "sent":
        settings = event.settings
        line |= {
            "frequency_khz": settings.frequency_hz / 1000,
            "bandwidth_khz": settings.bandwidth_hz // 1000,
            "spreading_factor": settings.spreading_factor,
            "coding_rate": settings.coding_rate,
            "power_dbm": settings.power_dbm,
        }
    else:
        line |= {
            "at": event.receiver,
            "rssi_dbm": round(event.rssi_dbm, 1),
            "snr_db": round(event.snr_db, 1),
        }
    if event.reason:
        line["reason"] = event.reason
    if event.by:
        line["by"] = event.by
    return json.dumps(line)


def as_text(event: Happening) -> str:
    """One line for a reader."""
    head = f"{event.time_us / 1_000_000:10.3f} s  {event.sender} #{event.number}"
    if event.what == "sent":
        s = event.settings
        return (
            f"{head}: sends {event.length} bytes, {event.airtime_us / 1000:.1f} ms on air"
            f" (SF{s.spreading_factor}, {s.bandwidth_hz // 1000} kHz,"
            f" {s.frequency_hz / 1_000_000:g} MHz, {s.power_dbm:g} dBm)"
        )
    level = f"{event.rssi_dbm:.0f} dBm, SNR {event.snr_db:.0f} dB"
    if event.what == "received":
        return f"{head}: received by {event.receiver}, {level}"
    cause = f"{event.reason} with {event.by}" if event.by else event.reason
    return f"{head}: lost at {event.receiver}: {cause} ({level})"


def summary(radio: Radio) -> dict[str, object]:
    """What a radio did: frames by outcome, time by state, airtime of the last hour, and charge.

    The charge is that of an SX1262, without its module's controller.
    """
    usage = radio.usage()
    lost = {key: count for key, count in radio.counters.items() if key not in ("sent", "received")}
    return {
        "event": "summary",
        "node": radio.name,
        "sent": radio.counters["sent"],
        "received": radio.counters["received"],
        "lost": lost,
        "airtime_ms": round(sum(usage.sending_us.values()) / 1000, 3),
        "airtime_of_hour": round(radio.airtime_last_hour_us() / HOUR_US, 6),
        "listening_s": round(usage.listening_us / 1_000_000, 3),
        "charge_mah": round(charge_mah(SX1262, usage), 6),
    }


def summary_as_text(radio: Radio) -> str:
    """The same for a reader."""
    found: dict[str, Any] = summary(radio)
    lost = ", ".join(f"{count} by {key}" for key, count in sorted(found["lost"].items()))
    return (
        f"{radio.name}: sent {found['sent']}, received {found['received']}, lost {lost or 'none'};"
        f" {found['airtime_ms']:.1f} ms on air ({found['airtime_of_hour']:.3%} of an hour),"
        f" {found['listening_s']:.1f} s listening, {found['charge_mah']:.4f} mAh (SX1262)"
    )
