"""config.json: any wrong value is one named error that says the file and the field."""

import json
import os

from harness import raises

from writ.agent import Node
from writ.configfile import read_config
from writ.errors import StoreDamaged, UsageError

FIELDS = (
    "name",
    "scope",
    "listen",
    "gateways",
    "governors",
    "renew_days",
    "oscore",
    "discoverable",
    "links",
    "mesh_gateway",
)
ENTRY = {"member": "a0", "secret": "00" * 16, "salt": "", "id": "01", "peer_id": "02"}
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    "",
    "x y",
    ":",
    "a:b",
    "a:99999",
    "zz",
    [],
    {},
    [[]],
    [{}],
)
VALUES += ([7], [None], ["a:b"], {"a": 1}, [ENTRY], [[ENTRY]], "00" * 8, "00" * 7, "UPPER", "7")
GOOD = {
    "name": ("zz",),
    "scope": (None, "00" * 8),
    "listen": ("", "x y", "zz", "UPPER", "7", "00" * 8, "00" * 7),
    "gateways": ([],),
    "governors": ([],),
    "renew_days": (0, 7),
    "oscore": ([], [ENTRY]),
    "discoverable": (True, False),
    "links": ([],),
    "mesh_gateway": (True, False),
}


# too deep for CPython; a device has the heap for less
DEEP = "[" * (3000 if hasattr(os, "chmod") else 100)


class Folder:
    """A folder with a config.json, which is removed at the end."""

    def __enter__(self):
        self.path = "test_config_" + os.urandom(4).hex()
        os.mkdir(self.path)
        return self

    def write(self, text):
        """Replace config.json; only its owner may read it."""
        with open(self.path + "/config.json", "w") as handle:
            handle.write(text)
        if hasattr(os, "chmod"):
            os.chmod(self.path + "/config.json", 0o600)

    def __exit__(self, kind, error, trace):
        for name in os.listdir(self.path):
            os.remove(self.path + "/" + name)
        os.rmdir(self.path)


def test_a_host_name_is_no_address_of_a_peer():
    # answers come from a numeric address, and would match no request
    with Folder() as folder:
        for field in ("gateways", "governors"):
            for wrong in ("localhost:5683", "localhost", "gate.local:1", "1.2.3:4", "1.2.3.256:4"):
                folder.write(json.dumps({field: ["10.0.0.1", "10.0.0.1:5683", wrong]}))
                error = raises(UsageError, read_config, folder.path)
                assert field in str(error) and "IP-ADDRESS" in str(error)


def test_an_ipv6_address_of_a_peer_has_brackets():
    with Folder() as folder:
        for field in ("gateways", "governors"):
            good = ["[2001:db8::1]:5683", "[::1]:5683", "[fe80::1%2]:1", "10.0.0.1"]
            folder.write(json.dumps({field: good, "listen": "[::]:5683"}))
            config, lock = read_config(folder.path)
            assert config[field] == good[:3] + ["10.0.0.1:5683"]
            if lock:
                lock.close()
            for wrong in (
                "2001:db8::1",
                "[2001:db8::1]:x",
                "[gate]:1",
                "[::1",
                "[]:1",
                "[1.2.3]",
                "[2001:DB8::1]",
            ):
                folder.write(json.dumps({field: [wrong]}))
                raises(UsageError, read_config, folder.path)


def test_gateways_alone_may_be_discovered():
    with Folder() as folder:
        folder.write(json.dumps({"gateways": ["discover", "10.0.0.1"]}))
        lock = read_config(folder.path)[1]
        if lock:
            lock.close()
        folder.write(json.dumps({"governors": ["discover"]}))
        raises(UsageError, read_config, folder.path)


def test_a_host_name_that_no_look_up_takes_is_named():
    # CPython's look-up raises UnicodeError or ValueError for each, which no caller expects
    wrong = ("a..b", ".a", "..", "x" * 64, "x" * 64 + ".org", "a.\x00", chr(0))
    good = ("a.", "a.b.", "x" * 63 + ".org", "127.0.0.1")
    if hasattr(os, "chmod"):
        wrong += ("\ud800", "\xfc" * 60)
        good += ("m\xfcnchen.example",)
    with Folder() as folder:
        for host in wrong:
            for address in (host, host + ":5683"):
                folder.write(json.dumps({"listen": address}))
                error = raises(UsageError, Node.load, folder.path)
                assert str(error) == 'config.json: "listen" is not HOST:PORT'
        for host in good:
            folder.write(json.dumps({"listen": host}))
            assert read_config(folder.path)[0] == {"listen": host}


def test_a_node_that_cannot_look_up_its_address_ends_with_one_line():
    if not hasattr(os, "chmod"):
        return
    with Folder() as folder:
        folder.write('{"name": "soil"}')
        node = Node.load(folder.path)
        node._listen = "a..b:5683"
        error = raises(SystemExit, node.run)
        # the reason is that of the Python: 3.12 has other words than 3.11
        start, _, reason = str(error).rpartition(
            'cannot listen at a..b:5683 ("listen" in config.json): '
        )
        assert not start and "label empty" in reason and "\n" not in reason, str(error)
        node._lock.close()


def test_each_wrong_value_of_each_field_is_named():
    with Folder() as folder:
        for field in FIELDS:
            for value in VALUES:
                folder.write(json.dumps({field: value}))
                if any(value == good and type(value) is type(good) for good in GOOD[field]):
                    assert read_config(folder.path)[0] == {field: value}
                else:
                    error = raises(UsageError, read_config, folder.path)
                    assert str(error)[:12] == "config.json:" and field in str(error), str(error)


def test_a_wrong_entry_of_a_preshared_context_is_named():
    with Folder() as folder:
        for key in ENTRY:
            for value in (7, None, [], {}, "zz", "0", True):
                folder.write(json.dumps({"oscore": [dict(ENTRY, **{key: value})]}))
                error = raises(UsageError, Node.load, folder.path)
                assert str(error)[:12] == "config.json:", str(error)
        for ids in (("01", "01"), ("00" * 8, "01"), ("01", "00" * 8)):
            entry = dict(ENTRY, id=ids[0], peer_id=ids[1])
            folder.write(json.dumps({"oscore": [entry]}))
            raises(UsageError, Node.load, folder.path)


def test_a_start_that_failed_leaves_the_folder_free():
    with Folder() as folder:
        folder.write('{"name": "soil"}')
        with open(folder.path + "/policy.b", "w"):
            pass
        for _ in range(2):
            error = raises(StoreDamaged, Node.load, folder.path)
            assert str(error) == "policy.a is missing"


def test_what_is_no_object_is_named():
    with Folder() as folder:
        for text in ("[]", "7", "null", '"name"', "true", "", DEEP):
            folder.write(text)
            error = raises(UsageError, Node.load, folder.path)
            assert "config.json" in str(error)
        folder.write('{"name": "soil"}')
        node = Node.load(folder.path)
        assert node.name == "soil"
        if node._lock:
            node._lock.close()
