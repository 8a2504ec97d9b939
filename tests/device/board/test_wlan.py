import os

from writ.board import wlan

# tests run in several processes in one folder
PATH = "wifi_last_" + os.urandom(4).hex()
FIELD = {"ssid": "field", "password": "correct horse"}
BARN = {
    "ssid": "barn",
    "static": "192.0.2.7/24",
    "gateway": "192.0.2.1",
    "dns": "192.0.2.53",
}


class WLAN:
    """As `network.WLAN`: what is called is recorded. No radio is here."""

    IF_STA = 0

    def __init__(self, interface_id):
        assert interface_id == WLAN.IF_STA
        self.calls = []
        self.state = Network.STAT_IDLE
        self.air = []
        self.is_broken = False
        Network.made = self

    def active(self, is_active):
        self.calls.append("active" if is_active else "inactive")

    def scan(self):
        self.calls.append("scan")
        if self.is_broken:
            raise OSError(5)
        return self.air

    def status(self):
        return self.state

    def isconnected(self):
        return self.state == Network.STAT_GOT_IP

    def connect(self, ssid=None, key=None):
        self.calls.append("connect " + ssid + (" with a key" if key else ""))
        if self.is_broken:
            raise OSError("Wifi Internal Error")

    def disconnect(self):
        self.calls.append("disconnect")
        if self.is_broken:
            raise OSError(128)

    def ipconfig(self, param=None, **values):
        if param:
            assert param == "addr4"
            return ("192.0.2.7", "255.255.255.0")
        self.calls.append("ipconfig " + " ".join(sorted(values)))
        return None


class Network:
    """As the module on an RP2, with its numbers."""

    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 0, 1, 3
    STAT_CONNECT_FAIL, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = -1, -2, -3
    WLAN = WLAN
    made = None

    def __init__(self):
        self.calls = []

    def country(self, code):
        self.calls.append("country " + code)

    def hostname(self, name):
        self.calls.append("hostname " + name)

    def ipconfig(self, **values):
        self.calls.append("ipconfig " + " ".join(sorted(values)))


def fresh(networks, **more):
    try:
        os.remove(PATH)
    except OSError:
        pass
    return again(networks, **more)


def again(networks, **more):
    network = Network()
    more["networks"] = networks
    station = wlan.Station(network, more, "pump_1.a", PATH)
    return station, network, network.made


def access_point(ssid, signal):
    return (ssid.encode(), b"\0\1\2\3\4\5", 6, signal, 3, 0)


def test_country_and_name_come_before_the_radio():
    station, network, radio = fresh([FIELD], country="DE")
    assert network.calls == ["country DE", "hostname pump-1-a"] and radio.calls == ["active"]
    station.tick(0)
    assert radio.calls[1:] == ["disconnect", "ipconfig dhcp4", "connect field with a key"]
    radio.state = Network.STAT_GOT_IP
    station.tick(400)
    assert not station.wifi.is_up
    station.tick(500)
    assert station.wifi.is_up


def test_the_last_success_is_kept_over_a_restart():
    station, _network, radio = fresh([BARN, FIELD])
    radio.air = [access_point("field", -60)]
    station.tick(0)
    # a scan, and what it has found is joined at once
    joins = ["scan", "ipconfig dhcp4", "connect field with a key"]
    assert [call for call in radio.calls if call in joins] == joins
    radio.state = Network.STAT_GOT_IP
    station.tick(1000)
    station.tick(1500)
    assert station.wifi.last == "field"
    station, _network, radio = again([BARN, FIELD])
    station.tick(0)
    assert "scan" not in radio.calls and radio.calls[-1] == "connect field with a key"
    os.remove(PATH)


def test_a_static_address():
    station, network, radio = fresh([BARN])
    station.tick(0)
    assert radio.calls[-2:] == ["ipconfig addr4 gw4", "connect barn"]
    assert network.calls[-1] == "ipconfig dns"


def test_each_status_has_a_word():
    station, _network, radio = fresh([FIELD])
    words = {0: "idle", 1: "connecting", 2: "connecting", 3: "connected"}
    words.update({-1: "failed", -2: "not found", -3: "wrong password", -9: "failed", 208: "failed"})
    for number in words:
        radio.state = number
        assert station.status() == words[number]


def test_a_driver_that_refuses_everything_ends_no_program():
    station, _network, radio = fresh([FIELD, BARN])
    radio.is_broken = True
    for now_ms in range(0, 100000, 500):
        station.tick(now_ms)
    assert radio.calls.count("scan") > 2
    # what is no UTF-8 hides no other name
    radio.is_broken = False
    radio.air = [(b"\xff\xfe", b"", 1, -1, 0, 0), access_point("field", -60)]
    for now_ms in range(100000, 500000, 500):
        if radio.calls[-1].startswith("connect field"):
            radio.state = Network.STAT_GOT_IP
        station.tick(now_ms)
    assert station.wifi.is_up
    os.remove(PATH)


def test_the_strongest_of_access_points_with_one_name_counts():
    station, _network, radio = fresh([FIELD, BARN])
    radio.air = [access_point("field", -80), access_point("barn", -60), access_point("field", -40)]
    station.tick(0)
    assert radio.calls[-1] == "connect field with a key"
