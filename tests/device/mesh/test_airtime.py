"""LoRa time on air beside published values, and the duty cycle of a channel."""

from harness import raises

from writ.errors import UsageError
from writ.mesh.airtime import time_on_air_us
from writ.mesh.dutycycle import duty_cycle_permille

# (bytes, spreading factor, bandwidth in kHz, coding rate, preamble, header, CRC): microseconds
# Semtech's "SX1261 LoRa Calculator", by micropython-lib, micropython/lora/tests/test_time_on_air.py
SEMTECH = (
    ((1, 12, 500, 5, 8, True, True), 206848),
    ((64, 12, 500, 5, 12, True, True), 649216),
    ((1, 12, 500, 5, 8, True, False), 165888),
    ((192, 12, 500, 5, 8, True, True), 1476608),
    ((16, 12, 500, 5, 12, False, False), 280576),
    ((1, 8, 125, 6, 8, True, True), 53760),
    ((2, 8, 125, 6, 8, True, True), 53760),
    ((2, 8, 125, 6, 8, True, False), 53760),
    ((3, 8, 125, 6, 8, True, True), 66048),
    ((3, 8, 125, 6, 8, True, False), 53760),
    ((4, 8, 125, 6, 8, True, True), 66048),
    ((5, 8, 125, 6, 8, True, False), 66048),
    ((253, 8, 125, 6, 8, True, True), 827904),
    ((253, 8, 125, 6, 8, True, False), 827904),
    ((5, 8, 125, 6, 12, False, True), 61952),
    ((10, 8, 125, 6, 12, False, True), 86528),
    ((253, 8, 125, 6, 12, False, True), 823808),
)
# The Things Network's airtime spreadsheet (formulas of Semtech AN1200.13), 125 kHz, coding rate
# 4/5, preamble 8: (bytes, spreading factor): microseconds. 37 bytes are 24 and LoRaWAN's 13.
THE_THINGS_NETWORK = (
    ((37, 7), 82176),
    ((37, 8), 143872),
    ((37, 9), 267264),
    ((37, 10), 493568),
    ((37, 11), 1069056),
    ((37, 12), 1974272),
    ((13, 9), 164864),
)
# RF Wireless World, "LoRaWAN Airtime calculator", examples 1 and 2
RF_WIRELESS_WORLD = (((10, 7), 41216), ((10, 11), 577536))


def test_time_on_air_is_that_of_semtechs_calculator():
    for arguments, expected in SEMTECH:
        assert time_on_air_us(*arguments) == expected, arguments


def test_time_on_air_is_that_of_published_tables():
    for arguments, expected in THE_THINGS_NETWORK + RF_WIRELESS_WORLD:
        assert time_on_air_us(*arguments) == expected, arguments


def test_low_data_rate_optimisation_begins_above_symbols_of_16_ms():
    # by hand, 51 bytes: 2**12 / 250 kHz = 16.384 ms, so 4 * (12 - 2) bits a block:
    # ceil((408 - 48 + 28 + 16) / 40) = 11 blocks of 5 symbols, with 8 and 12.25: 75.25 symbols
    assert time_on_air_us(51, 12, 250) == 1232896
    # 2**11 / 250 kHz = 8.192 ms, so 44 bits a block: ceil(408 / 44) = 10 blocks, 70.25 symbols
    assert time_on_air_us(51, 11, 250) == 575488


def test_an_empty_frame_has_preamble_header_and_crc():
    # 4.25 + 8 symbols of preamble, 8 of header, and one block of 5 with the CRC at SF7
    assert time_on_air_us(0, 7) == 25856
    # (-4 * 12 + 28 - 20) is negative: no block follows
    assert time_on_air_us(0, 12, 125, 5, 8, False, False) == 20 * 32768 + 8192


def test_each_byte_and_each_step_of_the_spreading_factor_costs_airtime():
    for factor in range(7, 13):
        longer = 0
        for length in range(256):
            airtime_us = time_on_air_us(length, factor)
            assert type(airtime_us) is int and airtime_us >= longer
            assert factor == 7 or airtime_us > time_on_air_us(length, factor - 1)
            longer = airtime_us


def test_what_no_lora_frame_has_is_refused():
    # a host remembers results: that of 1 is none for True
    assert time_on_air_us(1, 7)
    for arguments in (
        (True, 7),
        (256, 7),
        (-1, 7),
        (10, 6),
        (10, 13),
        (10, "7"),
        (10, 7, 62),
        (10, 7, 125, 4),
        (10, 7, 125, 9),
        (10, 7, 125, 5, 5),
    ):
        raises(UsageError, time_on_air_us, *arguments)


def test_the_duty_cycle_of_a_channel_is_that_of_its_band():
    # ETSI EN 300 220-2 V3.2.1, table B.1, bands H and K to Q; LoRaWAN's and Meshtastic's channels
    for frequency_khz, bandwidth_khz, permille in (
        (433175, 125, 100),
        (864100, 125, 1),
        (867100, 125, 10),
        (868100, 125, 10),
        (868300, 250, 10),
        (868500, 125, 10),
        (868850, 125, 1),
        (869525, 125, 100),
        (869525, 250, 100),
        (869850, 125, 10),
    ):
        assert duty_cycle_permille(frequency_khz, bandwidth_khz) == permille, frequency_khz


def test_a_channel_over_two_bands_has_the_lower_duty_cycle():
    assert duty_cycle_permille(865000, 125) == 1
    assert duty_cycle_permille(868000, 125) == 10


def test_a_channel_that_leaves_its_band_is_refused():
    assert duty_cycle_permille(868537, 125) == 10
    # 868.5375 + 0.0625 MHz is beyond 868.6; then alarms' bands; then the ends of 863 to 870 MHz
    for frequency_khz in (868538, 868650, 869300, 869675, 862950, 863062, 869938, 870050, 433100):
        raises(UsageError, duty_cycle_permille, frequency_khz, 125)


def test_regions_without_a_duty_cycle_have_none():
    for frequency_khz in (470300, 862900, 870100, 902300, 915000, 923200):
        assert duty_cycle_permille(frequency_khz, 125) == 1000
