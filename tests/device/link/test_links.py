"""The links of config.json, by kind."""

from harness import raises
from modem_rig import channel

from writ.compat import MICROPYTHON
from writ.errors import UsageError
from writ.link.links import open_link


def test_each_kind_has_its_link():
    for config, name in (
        ({"kind": "serial", "port": "/dev/none"}, "SerialLink"),
        (channel(modem="rylr998"), "Rylr998"),
        (channel(modem="rak3172"), "Rak3172"),
        (channel(modem="e22", frequency_khz=868125, bandwidth_khz=500, power_dbm=22), "E22"),
    ):
        link = open_link(config)
        assert type(link).__name__ == name
        assert link.duty_cycle_permille == (1000 if config["kind"] == "serial" else 10)
        assert link.kind == (1 if config["kind"] == "serial" else 2)
        # the port is missing, so it is tried again
        assert link.handle is None and link.receive(0) is None
        assert link.error and 0 < link.next_ms(0) <= 1000
        link.close()
        assert link.next_ms(0) is None


def test_the_duty_cycle_of_a_link_can_be_set():
    for permille in (0, 1, 1000):
        config = channel(modem="rylr998", frequency_khz=923200, duty_cycle_permille=permille)
        assert open_link(config).duty_cycle_permille == permille
    assert open_link(channel(modem="rylr998", frequency_khz=923200)).duty_cycle_permille == 1000


def test_what_is_no_link_is_refused():
    for config in (
        None,
        {},
        {"kind": "udp"},
        {"kind": "lora"},
        {"kind": "serial"},
        channel(modem="rylr999"),
        channel(modem="rylr998", port=None),
        channel(modem="rylr998", power_dbm=None),
        channel(modem="e22"),
    ):
        raises(UsageError, open_link, config)


def test_radios_on_spi_are_for_chips():
    config = channel(modem="sx1276", spi=1, cs=5)
    if MICROPYTHON:
        assert type(open_link(config)).__name__ == "SpiLink"
    else:
        raises(UsageError, open_link, config)
