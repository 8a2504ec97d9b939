"""Names that cost a device no heap, and the names of its modules that may be replaced by them.

MicroPython keeps every name that it meets in a table on the heap, except those that it was built
with. So a public name that is no part of the app's API becomes one of these. Any of them will do
that means nothing else in the package. 200 names less save 2 kB of heap and keep the table from its
next doubling, which costs 7 kB.
"""

import ast
import builtins
import gc
import hashlib
import io
import json
import os
import re
import select
import socket
import sys
import time
from collections.abc import Iterable, Iterator

from .fuse import Fusion

# The app's API: these classes with all their members, these functions, these constants, and all
# that these modules define.
_APP_CLASSES = {
    "writ": {"Node"},
    "writ.agent": {"Node"},
    "writ.authority.capsule": {"Member"},
    "writ.node.call": {"Answer"},
    "writ.node.delegate": {"Delegate"},
    "writ.node.context": {"NodeContext"},
    "writ.node.node": {"Node"},
    "writ.node.server": {"Request"},
}
_APP_FUNCTIONS = {"writ.wire.coap": {"code_text"}}
APP_CONSTANTS = {
    "writ.wire.coap": {
        *("GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "IPATCH"),
        *("CREATED", "DELETED", "VALID", "CHANGED", "CONTENT", "CONTINUE"),
        *("BAD_REQUEST", "UNAUTHORIZED", "BAD_OPTION", "FORBIDDEN", "NOT_FOUND"),
        *("METHOD_NOT_ALLOWED", "INCOMPLETE", "TOO_LARGE", "UNSUPPORTED_FORMAT", "TOO_MANY"),
        *("INTERNAL", "UNAVAILABLE"),
    }
}
_APP_MODULES = {"writ.errors"}

# Names of builtins and of standard modules, in the ROM of every usual port (unix, ESP32, RP2).
# Where a port lacks one of them, that name is kept on its heap like any other.
_ROM = """
AF_INET AF_INET6 AF_UNIX ARRAY AUTO ArithmeticError AssertionError AttributeError BFINT16 BFINT32
BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN BaseException BytesIO CERT_NONE
CERT_OPTIONAL CERT_REQUIRED CancelledError DeflateIO EACCES EADDRINUSE EAGAIN EALREADY EBADF
ECONNABORTED ECONNREFUSED ECONNRESET EEXIST EHOSTUNREACH EINPROGRESS EINVAL EIO EISDIR ENOBUFS
ENODEV ENOENT ENOMEM ENOTCONN EOFError EOPNOTSUPP EPERM ETIMEDOUT Ellipsis Event Exception FLOAT32
FLOAT64 GZIP GeneratorExit INT INT16 INT32 INT64 INT8 IOBase IOQueue IP_ADD_MEMBERSHIP
IP_DROP_MEMBERSHIP ImportError IndentationError IndexError KeyError KeyboardInterrupt LITTLE_ENDIAN
LONG LONGLONG Lock LookupError Loop MSG_DONTROUTE MSG_DONTWAIT MSG_PEEK MemoryError NATIVE NameError
NotImplemented NotImplementedError OSError OrderedDict OverflowError POLLERR POLLHUP POLLIN POLLOUT
PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PTR RAW RingIO
RuntimeError SHORT SOCK_DGRAM SOCK_RAW SOCK_STREAM SOL_SOCKET SO_BROADCAST SO_ERROR SO_KEEPALIVE
SO_LINGER SO_REUSEADDR SSLContext Server Signal SingletonGenerator StopAsyncIteration StopIteration
Stream StreamReader StreamWriter StringIO SyntaxError SystemExit Task TaskQueue ThreadSafeFlag
TimeoutError TypeError UINT UINT16 UINT32 UINT64 UINT8 ULONG ULONGLONG USHORT UnicodeError VOID
ValueError ZLIB ZeroDivisionError a2b_base64 abs accept aclose acos acosh acquire add addressof aes
all allocate_lock any append appendleft argv array asin asinh asyncio atan atan2 atanh atexit awrite
awritestr b2a_base64 bin binascii bind bool buffer builtins bytearray bytearray_at byteorder bytes
bytes_at calcsize call_exception_handler callable ceil center chdir choice chr classmethod clear
clock close cmath collect collections compile complex connect const copy copysign core cos cosh
count crc32 create_task cryptolib cur_task current_task decode decrypt default_exception_handler
deflate degrees delattr deleter deque dict difference difference_update digest dir disable discard
divmod drain dump dumps e enable encode encrypt endswith enumerate erf erfc errno errorcode eval
event exc_info exec execfile executable exit exp expm1 extend fabs factorial fileno filter find
float floor flush fmod format frexp from_bytes fromhex fromkeys frozenset gamma gather gc get
get_event_loop get_exception_handler get_extra_info get_ident getaddrinfo getattr getcwd getenv
getrandbits getter getvalue globals gmtime hasattr hash hashlib heap_lock heap_unlock heapify
heappop heappush heapq help hex hexlify id idle ilistdir implementation index inet_ntop inet_pton
inf input insert int intersection intersection_update io ioctl ipoll is_set isalpha isclose isdigit
isdisjoint isenabled isfinite isinf isinstance islower isnan isspace issubclass issubset issuperset
isupper items iter join json kbd_intr keys ldexp len lgamma libc_ver list listdir listen load
load_cert_chain load_verify_locations loads locals localtime locked log log10 log2 lower lstrip
machine makefile map match math max maxsize md5 mem16 mem32 mem8 mem_alloc mem_current mem_free
mem_info mem_peak mem_total memoryview micropython min mkdir mkfs mktime modf modify modules mount
name namedtuple nan new_event_loop next object oct off on open open_connection opt_level ord os pack
pack_into partition path peek phase pi platform polar poll poller pop popitem popleft pow print
print_exception property ps1 ps2 push putenv python_compiler qstr_info queue_read queue_write
radians randint random randrange range re read readexactly readinto readline readlines rect recv
recvfrom register release remove rename replace repr reverse reversed rfind rindex rmdir round
rpartition rsplit rstrip run run_forever run_until_complete schedule search seed seek select send
sendall sendto sep set set_exception_handler setattr setblocking setdefault setsockopt setter
settimeout sha1 sha256 sin sinh sizeof sleep sleep_ms sleep_us slice sockaddr socket soft_reset sort
sorted split splitlines sqrt ssl stack_size stack_use start start_new_thread start_server startswith
stat staticmethod statvfs stderr stdin stdout step stop str stream stream_awrite strip struct sub
sum super symmetric_difference symmetric_difference_update sys system tan tanh tau tell threshold
ticks ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns time_pulse_us tls to_bytes trunc
tuple type uctypes umount unhexlify uniform union unlink unpack unpack_from unregister unsetenv
update upper urandom value values verify_mode version version_info vfs wait wait_closed wait_for
wait_for_ms wait_io_event wrap_socket write zip
"""

# Names of `machine`, `network` and an app that no host's module has, as far as the package uses
# them.
_HARDWARE = """
active ADC addr4 config connect country deinit dhcp4 disconnect dns feed gw4 hostname I2C IF_STA IN
init ipconfig isconnected osdebug OUT PERIODIC Pin pin PULL_DOWN PULL_UP read_u16 read_uv readfrom
readfrom_into readfrom_mem readfrom_mem_into reconnects reset reset_cause scan setup SPI status
Timer UART value WDT WLAN writeto writeto_mem
"""
# Attribute names of objects that do not belong to the package.
_FOREIGN: frozenset[str] = frozenset(_HARDWARE.split()).union(
    *(
        dir(item)
        for item in (
            *(value for value in vars(builtins).values() if isinstance(value, type)),
            *(builtins, gc, hashlib, io, json, os, select, socket, sys, time),
            *(hashlib.sha256(), io.BytesIO, io.FileIO, io.TextIOWrapper, socket.socket),
            *((select.poll(),) if hasattr(select, "poll") else ()),
        )
    ),
)


def _strings(tree: ast.Module) -> Iterator[str]:
    # the words in strings, which may be names; docstrings are left out
    docs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            docs.add(id(getattr(node.body[0], "value", None)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from re.findall(r"\w+", node.value)


def words_of(tree: ast.Module) -> set[str]:
    # every identifier of a source
    return {
        value
        for node in ast.walk(tree)
        for field in ("id", "attr", "name", "arg", "asname")
        if isinstance(value := getattr(node, field, None), str)
    }


def _defined(tree: ast.AST) -> set[str]:
    # functions, classes, methods, their attributes, and globals
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        if isinstance(node, ast.Module | ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.Assign):
                    found |= {name.id for name in item.targets if isinstance(name, ast.Name)}
    return found


def _app_classes(module: str, tree: ast.Module, fusion: Fusion) -> list[ast.ClassDef]:
    classes = {
        fusion.name(source, name)
        for source, names in _APP_CLASSES.items()
        for name in names
        if fusion.home(source) == module
    }
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in classes]


def _app_names(module: str, tree: ast.Module, fusion: Fusion) -> set[str]:
    if module in _APP_MODULES:
        return _defined(tree)
    classes = _app_classes(module, tree, fusion)
    return set(_APP_FUNCTIONS.get(module, ())).union(*map(_defined, classes))


def app_functions(module: str, tree: ast.Module, fusion: Fusion) -> list[ast.FunctionDef]:
    """The functions of the app's API in one module: an app may pass their arguments by keyword."""
    known = _APP_FUNCTIONS.get(module, ())
    nodes = [item for cls in _app_classes(module, tree, fusion) for item in cls.body]
    nodes += [
        item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name in known
    ]
    return [item for item in nodes if isinstance(item, ast.FunctionDef) and item.name[0] != "_"]


def _globals(tree: ast.Module) -> set[str]:
    return _defined(
        ast.Module([item for item in tree.body if not isinstance(item, ast.ClassDef)], [])
    )


def free_names(
    package: dict[str, ast.Module],
    callers: Iterable[ast.Module],
    unlinked: Iterable[ast.Module],
    keep: set[str],
    avoid: set[str],
    fusion: Fusion,
) -> dict[str, str]:
    """{public name of the package: a name that costs nothing}.

    package: its modules by name; callers: programs that are linked with it, whose own globals stay;
    unlinked: programs that are not, whose every word stays; keep: names that must stay; avoid:
    names that no other name may become; fusion: where the package's names are.
    """
    callers, unlinked = list(callers), list(unlinked)
    kept = set(keep)
    for module, tree in package.items():
        kept |= {*module.split("."), *_strings(tree), *_app_names(module, tree, fusion)}
        for function in app_functions(module, tree, fusion):
            kept |= {argument.arg for argument in function.args.args}
    for tree in callers:
        kept |= {*_strings(tree), *_globals(tree)}
    for tree in unlinked:
        kept |= {*_strings(tree), *words_of(tree)}
    seen = kept.union(avoid, *(words_of(tree) for tree in [*package.values(), *callers]))
    rom = _ROM.split()
    free = [word for word in rom if word not in seen and len(word) > 1]
    public = set().union(*(_defined(tree) for tree in package.values())) - kept - _FOREIGN
    public -= set(rom)
    # the longest first, since there may be more of them than free names
    wanted = sorted(public, key=lambda name: (-len(name), name))
    return dict(zip((name for name in wanted if name[0] != "_"), free, strict=False))
