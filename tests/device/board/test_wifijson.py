from harness import raises

from writ.board.wifijson import check_wifi
from writ.errors import UsageError
from writ.limits import WIFI_NETWORKS_MAX

SECRET = "correct horse"


def network(**changes):
    found = {"ssid": "field", "password": SECRET}
    found.update(changes)
    return found


def document(**changes):
    return {"networks": [network(**changes)]}


def test_what_the_page_shows():
    static = {"static": "192.0.2.7/24", "gateway": "192.0.2.1", "dns": "192.0.2.53"}
    check_wifi(document())
    check_wifi(document(**static))
    check_wifi(document(hidden=True, ssid="H\xe4uschen"))
    check_wifi({"networks": [{"ssid": "open"}, network()], "country": "DE"})
    check_wifi(document(password=64 * "a"))


WRONG = (
    [],
    {},
    {"networks": []},
    {"networks": {}},
    {"networks": [3]},
    {"networks": [{}]},
    {"networks": [network(), network()]},
    {"networks": [network(ssid="n%d" % n) for n in range(WIFI_NETWORKS_MAX + 1)]},
    {"networks": [network()], "contry": "DE"},
    {"networks": [network()], "country": "de"},
    {"networks": [network()], "country": "DEU"},
    {"networks": [network()], "country": 49},
    document(ssid=""),
    document(ssid=33 * "a"),
    document(ssid=17 * "\xe4"),
    document(ssid="a\0b"),
    document(ssid=7),
    document(password="short"),
    document(password=64 * "z"),
    document(password=65 * "a"),
    document(password="correct h\xf6rse"),
    document(password=None),
    document(pasword=SECRET),
    document(hidden=1),
    document(hidden="no"),
    document(static="192.0.2.7/24"),
    document(gateway="192.0.2.1"),
    document(dns="192.0.2.1"),
    document(static="192.0.2.7", gateway="192.0.2.1"),
    document(static="192.0.2.7/31", gateway="192.0.2.1"),
    document(static="192.0.2.256/24", gateway="192.0.2.1"),
    document(static="field/24", gateway="192.0.2.1"),
    document(static="192.0.2.7/24", gateway="gw"),
    document(static="192.0.2.7/24", gateway="192.0.2.1", dns="2001:db8::1"),
)


def test_each_wrong_file_is_refused_without_its_secret():
    for wrong in WRONG:
        error = raises(UsageError, check_wifi, wrong)
        text = str(error)
        assert text.startswith("wifi.json: ") and len(text) > 20, wrong
        for secret in (SECRET, "short", 64 * "z", "h\xf6rse"):
            assert secret not in text
