"""/wifi.json: which networks a device may join. The host checks its file by the same function.

{"networks": [{"ssid": "field", "password": "...", "hidden": false, "static": "192.0.2.7/24",
               "gateway": "192.0.2.1", "dns": "192.0.2.1"}], "country": "DE"}
"""

from ..errors import UsageError
from ..limits import WIFI_NETWORKS_MAX
from ..link.udp import is_numeric

_FIELDS = ("ssid", "password", "hidden", "static", "gateway", "dns")


def _fail(text):
    # the values are not in the text: one of them is a secret
    raise UsageError("wifi.json: " + text)


def _is_address(value):
    return isinstance(value, str) and ":" not in value and is_numeric(value + ":1")


def _is_interface(value):
    # "192.0.2.7/24"
    if not isinstance(value, str):
        return False
    address, _, bits = value.partition("/")
    return _is_address(address) and bits.isdigit() and len(bits) < 3 and 1 <= int(bits) <= 30


def _is_password(value):
    # WPA (IEEE 802.11, annex J.4): a passphrase of 8 to 63 ASCII characters, or a key in hex
    if not isinstance(value, str):
        return False
    if len(value) == 64:
        return all([digit in "0123456789abcdefABCDEF" for digit in value])
    return 8 <= len(value) <= 63 and all([32 <= ord(one) < 127 for one in value])


def _check_network(network, where):
    if not isinstance(network, dict):
        _fail(where + " is not an object {...}")
    for field in network:
        if field not in _FIELDS:
            _fail(where + " has an unknown field; known are " + ", ".join(_FIELDS))
    ssid = network.get("ssid")
    if not isinstance(ssid, str) or not 1 <= len(ssid.encode()) <= 32 or "\0" in ssid:
        _fail(where + ': "ssid" is not a name of 1 to 32 bytes')
    if "password" in network and not _is_password(network["password"]):
        _fail(where + ': "password" has not 8 to 63 ASCII characters; leave it out for none')
    hidden = network.get("hidden", False)
    if hidden is not True and hidden is not False:
        _fail(where + ': "hidden" is not true or false')
    if "static" in network:
        if not _is_interface(network["static"]):
            _fail(where + ': "static" is not "IP-ADDRESS/BITS"')
        if "gateway" not in network:
            _fail(where + ': "static" needs "gateway"')
    for field in ("gateway", "dns"):
        if field in network:
            if "static" not in network:
                _fail(where + ': "' + field + '" needs "static"')
            if not _is_address(network[field]):
                _fail(where + ': "' + field + '" is not an IPv4 address')


def check_wifi(document):
    """Raise `UsageError`, which names the field, unless this is what a wifi.json may hold."""
    if not isinstance(document, dict):
        _fail("no object {...}")
    for field in document:
        if field not in ("networks", "country"):
            _fail('an unknown field; known are "networks" and "country"')
    country = document.get("country", "XX")
    if not isinstance(country, str) or len(country) != 2 or not country.isalpha():
        _fail('"country" is not two letters, such as "DE"')
    if country != country.upper() or len(country.encode()) != 2:
        _fail('"country" is not two capital letters')
    networks = document.get("networks")
    if not isinstance(networks, list) or not 1 <= len(networks) <= WIFI_NETWORKS_MAX:
        _fail('"networks" is not a list of 1 to %d networks' % WIFI_NETWORKS_MAX)
    names = []
    for number in range(len(networks)):
        _check_network(networks[number], "network %d" % (number + 1))
        names.append(networks[number]["ssid"])
    if len(set(names)) < len(names):
        _fail('two networks have one "ssid"')
