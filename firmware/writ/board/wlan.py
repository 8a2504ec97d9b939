"""The chip's Wi-Fi: does what wifi.py decides, by MicroPython's `network.WLAN`."""

import errno
import sys

from ..compat import const
from .wifi import Wifi

_TICK_MS = const(500)

_STATUS = (
    ("STAT_IDLE", "idle"),
    ("STAT_CONNECTING", "connecting"),
    ("STAT_WRONG_PASSWORD", "wrong password"),
    ("STAT_NO_AP_FOUND", "not found"),
    ("STAT_CONNECT_FAIL", "failed"),
    ("STAT_ASSOC_FAIL", "failed"),
    ("STAT_HANDSHAKE_TIMEOUT", "wrong password"),
)


def switch_on(network):
    """The station interface, active. An ESP32 has sockets and true random numbers only then."""
    wlan = network.WLAN(network.WLAN.IF_STA)
    wlan.active(True)
    return wlan


def _read_last(path):
    try:
        with open(path) as handle:
            return handle.read(32)
    except OSError as error:
        if error.errno != errno.ENOENT:
            print("wifi.last: " + str(error))
    except UnicodeError:
        # a power cut may have left anything
        pass
    return None


class Station:
    """Keeps the device connected. network: the module; document: a checked wifi.json.

    name: of the node, for DHCP; path: the file with the SSID that has worked last, which is written
    when it changes.
    """

    def __init__(self, network, document, name, path="/wifi.last"):
        self._network = network
        self._path = path
        if "country" in document:
            network.country(document["country"])
        # labels of DNS have no underscores
        network.hostname(name.replace("_", "-").replace(".", "-"))
        self._wlan = switch_on(network)
        if sys.platform == "esp32":
            # otherwise it tries for ever, and its status does not say why it fails
            self._wlan.config(reconnects=0)
        self._is_refused = False
        self._due_ms = 0
        self.wifi = Wifi(document["networks"], _read_last(path))

    def status(self):
        """One of the words of `Wifi`."""
        if self._wlan.isconnected():
            return "connected"
        if self._is_refused:
            return "failed"
        found = self._wlan.status()
        for name, text in _STATUS:
            if getattr(self._network, name, None) == found:
                return text
        # the other reasons of an ESP32, and 2 on an RP2: joined, without an address yet
        return "failed" if found < 0 or 200 <= found < 1000 else "connecting"

    def tick(self, now_ms):
        """Do what is due, at most twice a second, and print what has happened."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + _TICK_MS
        wifi = self.wifi
        last = wifi.last
        action = wifi.tick(now_ms, self.status())
        while action:
            action = self._do(action, now_ms)
        while wifi.news:
            text = wifi.news.pop(0)
            if text.endswith(": connected"):
                text += ", " + self._wlan.ipconfig("addr4")[0]
            print(text)
        if wifi.last != last:
            self._keep(wifi.last)

    def _keep(self, ssid):
        try:
            with open(self._path, "w") as handle:
                handle.write(ssid)
        except OSError as error:
            print("wifi.last: " + str(error))

    def _do(self, action, now_ms):
        # the next action, or None
        self._is_refused = False
        try:
            if action[0] == "scan":
                return self.wifi.scanned(self._scan(), now_ms)
            self._wlan.disconnect()
        except (OSError, RuntimeError):
            # there was nothing to disconnect
            pass
        if action[0] == "connect":
            self._connect(action[1])
        return None

    def _scan(self):
        seen = {}
        try:
            results = self._wlan.scan()
        except (OSError, RuntimeError) as error:
            print("Wi-Fi scan: " + str(error))
            return seen
        for found in results:
            try:
                ssid = bytes(found[0]).decode()
            except UnicodeError:
                # a name that no wifi.json can have
                continue
            # several access points may have one name
            seen[ssid] = max(found[3], seen.get(ssid, -200))
        return seen

    def _connect(self, entry):
        try:
            if "static" in entry:
                self._wlan.ipconfig(addr4=entry["static"], gw4=entry["gateway"])
                if "dns" in entry:
                    self._network.ipconfig(dns=entry["dns"])
            else:
                self._wlan.ipconfig(dhcp4=True)
            if "password" in entry:
                self._wlan.connect(entry["ssid"], entry["password"])
            else:
                self._wlan.connect(entry["ssid"])
        except (OSError, RuntimeError, ValueError):
            # the driver refuses it: the next one is tried
            self._is_refused = True
