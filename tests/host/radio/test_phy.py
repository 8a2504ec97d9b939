"""Time on air, sensitivity and which settings meet, against figures worked out by hand."""

import pytest
from radio.phy import Settings, airtime_us, can_receive, disturbs


@pytest.mark.parametrize(
    ("settings", "length", "expected_us"),
    [
        # SX1276 datasheet 4.1.1.7. SF7, 20 bytes: 8 + ceil((160-28+28+16)/28)*5 = 43 payload
        # symbols and 12.25 of preamble, of 1.024 ms
        (Settings(), 20, 56_576),
        # SF12, 125 kHz, low data rate optimisation: 8 + ceil((160-48+44)/40)*5 = 28; 40.25 * 32.768
        (Settings(spreading_factor=12), 20, 1_318_912),
        # a preamble of 12 symbols instead of 8
        (Settings(preamble=12), 20, 56_576 + 4 * 1_024),
        # shorter than a chip's 6 symbols, as AT+PPL=5 allows
        (Settings(preamble=5), 20, 56_576 - 3 * 1_024),
        # SX1261/2 datasheet 6.1.4, SF6 at 500 kHz: preamble 8 + 6.25, payload
        # 8 + ceil((160+16-24+20)/24)*5 = 48; 62.25 symbols of 0.128 ms
        (Settings(spreading_factor=6, bandwidth_hz=500_000), 20, 7_968),
        # 4/8, 250 kHz: 8 + 7*8 = 64 and 12.25 symbols of 0.512 ms
        (Settings(coding_rate=8, bandwidth_hz=250_000), 20, 39_040),
    ],
)
def test_time_on_air(settings: Settings, length: int, expected_us: int) -> None:
    assert airtime_us(settings, length) == expected_us


def test_a_frame_has_at_most_255_bytes() -> None:
    assert airtime_us(Settings(), 255) == 399_616
    with pytest.raises(ValueError, match="0 to 255"):
        airtime_us(Settings(), 256)


def test_sensitivity_is_the_datasheets() -> None:
    factors = range(7, 13)
    found = {
        bandwidth: [
            Settings(bandwidth_hz=bandwidth, spreading_factor=factor).sensitivity_dbm
            for factor in factors
        ]
        for bandwidth in (125_000, 250_000, 500_000)
    }
    # SX1276/77/78/79 datasheet, revision 7, table 10: RFS_L125_HF, RFS_L250_HF, RFS_L500_HF
    assert found == {
        125_000: [-123, -126, -129, -132, -133, -136],
        250_000: [-120, -123, -125, -128, -130, -133],
        500_000: [-116, -119, -122, -125, -128, -130],
    }


def test_the_critical_section_spares_all_but_five_symbols_of_the_preamble() -> None:
    assert Settings().critical_us == 3 * 1_024
    assert Settings(spreading_factor=12, preamble=16).critical_us == 11 * 32_768
    assert Settings(preamble=4).critical_us == 0


@pytest.mark.parametrize(
    ("other", "is_received", "is_disturbed"),
    [
        (Settings(), True, True),
        (Settings(power_dbm=22, coding_rate=8, preamble=12), True, True),
        (Settings(sync_word=0x34), False, True),
        (Settings(spreading_factor=8), False, False),
        (Settings(bandwidth_hz=250_000), False, True),
        # a quarter of the bandwidth, and a little more
        (Settings(frequency_hz=868_131_250), True, False),
        (Settings(frequency_hz=868_131_251), False, False),
        # LoRaSim: 30, 60 and 120 kHz
        (Settings(frequency_hz=868_130_000), True, True),
        (Settings(frequency_hz=868_160_000, bandwidth_hz=250_000), False, True),
        (Settings(frequency_hz=868_160_001, bandwidth_hz=250_000), False, False),
        (Settings(frequency_hz=868_220_000, bandwidth_hz=500_000), False, True),
        (Settings(frequency_hz=868_220_001, bandwidth_hz=500_000), False, False),
    ],
)
def test_which_settings_meet(other: Settings, is_received: bool, is_disturbed: bool) -> None:
    mine = Settings()
    assert can_receive(mine, other) == can_receive(other, mine) == is_received
    assert disturbs(mine, other) == disturbs(other, mine) == is_disturbed


@pytest.mark.parametrize(
    "wrong",
    [{"bandwidth_hz": 62_500}, {"spreading_factor": 13}, {"coding_rate": 4}, {"preamble": 0}],
)
def test_settings_that_no_chip_has_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)
