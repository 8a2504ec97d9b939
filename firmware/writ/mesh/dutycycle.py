"""The duty cycle of a LoRa channel, by its frequency. Needed when a link is made."""

from ..errors import UsageError

# The duty cycle by frequency, in kHz and thousandths: ETSI EN 300 220-2 V3.2.1, table B.1 (bands H
# and K to Q), as ERC Recommendation 70-03, annex 1.
BANDS = (
    (433050, 434790, 100),
    (863000, 865000, 1),
    (865000, 868000, 10),
    (868000, 868600, 10),
    (868700, 869200, 1),
    (869400, 869650, 100),
    (869700, 870000, 10),
)
# Where those bands lie. Between them are alarms' bands.
_REGULATED = ((433050, 434790), (863000, 870000))


def duty_cycle_permille(frequency_khz, bandwidth_khz):
    """Thousandths of an hour that the regulator allows on a channel; 1000: no such limit.

    Sources: ETSI EN 300 220-2 V3.2.1, table B.1, and ERC Recommendation 70-03, annex 1, for 433 and
    863 to 870 MHz. A channel over the edge of two bands has the lower value. Other regions have no
    duty cycle, or one that is not known here: US 902 to 928 MHz limits the dwell time of a channel
    instead (47 CFR 15.247), India has neither in 865 to 867 MHz. Config.json overrides this value.

    Raises `UsageError` if a part of the channel lies in a gap between those bands (alarms).
    """
    # half of a bandwidth may be no integer: twice the values
    low, high = 2 * frequency_khz - bandwidth_khz, 2 * frequency_khz + bandwidth_khz
    permille = 1000
    reached = low
    for band_low, band_high, allowed in BANDS:
        if 2 * band_low <= reached < 2 * band_high and reached < high:
            permille = min(permille, allowed)
            reached = 2 * band_high
    if reached < high:
        for band_low, band_high in _REGULATED:
            if low < 2 * band_high and high > 2 * band_low:
                raise UsageError(
                    "a channel at %d kHz of %d kHz leaves its band (ETSI EN 300 220-2, table B.1)"
                    % (frequency_khz, bandwidth_khz)
                )
    return permille
