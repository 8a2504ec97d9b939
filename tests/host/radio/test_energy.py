"""Currents and lifetimes, by hand calculation from the datasheets' figures."""

import pytest
from radio.energy import (
    ESP32_S3,
    SX1262,
    SX1276,
    Chip,
    Cycle,
    charge_mah,
    lifetime_days,
    listening_hour_mah,
    sent_byte_uah,
)
from radio.outcome import Usage
from radio.phy import Settings

HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("chip", "power_dbm", "expected_ma"),
    [
        (SX1276, 7, 20),
        (SX1276, 13, 29),
        (SX1276, 17, 87),
        (SX1276, 20, 120),
        # on the line from 13 to 17 dBm: 29 + 58 / 4
        (SX1276, 14, 43.5),
        # below the first point
        (SX1276, 2, 20),
        (SX1262, 14, 45),
        (SX1262, 22, 118),
    ],
)
def test_transmit_current(chip: Chip, power_dbm: float, expected_ma: float) -> None:
    assert chip.transmit_ma(power_dbm) == expected_ma


def test_more_power_than_the_chip_has_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 20 dBm"):
        SX1276.transmit_ma(22)


def test_charge_of_what_a_radio_did() -> None:
    usage = Usage(
        sleeping_us=2 * HOUR_US, listening_us=HOUR_US, sending_us={13: HOUR_US // 10, 20: 36_000}
    )
    # 2 h of 0.2 uA, 1 h of 11.5 mA, 0.1 h of 29 mA, 36 ms of 120 mA
    assert charge_mah(SX1276, usage) == pytest.approx(0.0004 + 11.5 + 2.9 + 0.0012)
    assert listening_hour_mah(SX1276) == 11.5


def test_charge_of_a_byte() -> None:
    # 20 bytes at SF7 take 56.576 ms; 29 mA * 56.576 ms / 3600 s = 455.75 nAh
    settings = Settings(power_dbm=13)
    assert sent_byte_uah(SX1276, settings, 20) == pytest.approx(0.45575 / 20, rel=1e-4)


def test_a_sensor_that_reports_every_fifteen_minutes() -> None:
    cycle = Cycle(period_s=900, sending_s=0.2, power_dbm=14, listening_s=1, awake_s=2)
    # mAs a period: 0.2 * 45 + 1 * 5.3 + 898.8 * 0.0006 + 2 * 28.4 + 898 * 0.007
    average_ma = cycle.average_ma(SX1262, ESP32_S3)
    assert average_ma == pytest.approx((9 + 5.3 + 0.53928 + 56.8 + 6.286) / 900)
    assert lifetime_days(2000, average_ma) == pytest.approx(2000 / average_ma / 24)
    with pytest.raises(ValueError, match="shorter"):
        Cycle(1, 0.6, 14, 0.5, 0).average_ma(SX1262, ESP32_S3)
