"""The differences between MicroPython and CPython. No other file catches ImportError.

The rest of the package is the same source for both. This module imports nothing of the package but
the replacement for `cryptolib`. The linker removes what only CPython needs (build/shrink.py).
"""

import gc
import hashlib
import os
import sys
import time

MICROPYTHON = sys.implementation.name == "micropython"

try:
    from micropython import const
except ImportError:

    def const(value):
        """MicroPython's compile-time constant; the value itself elsewhere."""
        return value


try:
    from cryptolib import aes as _aes

    def aes_ecb(key):
        """An object whose `encrypt(blocks)` is AES-128-ECB; `key` is 16 bytes."""
        return _aes(key, 1)

    def aes_cbc(key, iv):
        """An object whose `encrypt(blocks)` is AES-128-CBC; `key` and `iv` are 16 bytes."""
        return _aes(key, 2, iv)
except ImportError:
    from .aes import aes_cbc, aes_ecb  # noqa: F401

try:
    import Crypto  # noqa: F401

    HAVE_PYCRYPTODOME = True
except ImportError:
    HAVE_PYCRYPTODOME = False

# the openssl backend needs pycryptodome where OpenSSL is too lax
HAVE_OPENSSL = HAVE_PYCRYPTODOME
try:
    import cryptography  # noqa: F401
except ImportError:
    HAVE_OPENSSL = False


def sha256(data):
    """SHA-256 of `data` (bytes-like), 32 bytes."""
    return hashlib.sha256(data).digest()


def random_bytes(count):
    """`count` bytes from the system's random generator."""
    return os.urandom(count)


if MICROPYTHON:
    _ticks_ms = time.ticks_ms
    _ticks_diff = time.ticks_diff
    tidy = gc.collect

    def save_heap():
        """Collect garbage often: long-lived objects lie together, and large pieces stay free."""
        gc.threshold(16384)

    def compute(function, *arguments):
        """The result of `function`, long arithmetic that keeps no object but its result.

        Garbage is collected before and after, not each 16 kB: that doubles the time. After it,
        since what is allocated next may live long, and should not lie behind the garbage.
        """
        threshold = gc.threshold()
        gc.collect()
        gc.threshold(-1)
        try:
            return function(*arguments)
        finally:
            gc.threshold(threshold)
            gc.collect()

    def unload(name):
        """Forget a module of this package, such as "node.delegate", so that its code can be freed.

        The linker shortens the name to the one that a device knows (build/shrink.py).
        """
        name = __name__[:5] + name
        sys.modules.pop(name, None)
        folder, _, name = name.rpartition(".")
        if hasattr(sys.modules[folder], name):
            delattr(sys.modules[folder], name)

    def fsync(handle):
        """Flush an open file to the medium; ESP32's littlefs does so on close."""
        handle.flush()

    def memoize(function):
        """The function itself: a device has no room for results."""
        return function

    make_folder = os.mkdir
    open_private = open
else:

    def tidy():
        """Collect garbage now; CPython decides by itself."""

    def save_heap():
        """Collect garbage often; CPython decides by itself."""

    def compute(function, *arguments):
        """The result of `function`; CPython frees the numbers of long arithmetic at once."""
        return function(*arguments)

    def unload(name):
        """Forget a module of this package; on CPython it stays."""

    import errno
    from functools import lru_cache

    # keeps the last results of a function of the same arguments, True not taken for 1
    memoize = lru_cache(512, typed=True)

    # Linux stops CLOCK_MONOTONIC while the machine sleeps, and memberships expire meanwhile. macOS
    # has no CLOCK_BOOTTIME: there CLOCK_MONOTONIC counts the time of sleep
    _CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))

    def _ticks_ms():
        return time.clock_gettime_ns(_CLOCK) // 1000000

    def _ticks_diff(later, earlier):
        return later - earlier

    def fsync(handle):
        """Flush an open file to the medium."""
        handle.flush()
        os.fsync(handle.fileno())

    def make_folder(path):
        """Make a folder that only its owner may use."""
        os.mkdir(path, 0o700)

    def open_private(path, mode):
        """`open`, which follows no symbolic link. Only the owner may read a file opened to write.

        A pipe or a device raises `OSError`, since it might never be read or written to the end.
        The entry of a new file is on the medium when this returns.
        """
        return open(path, mode, opener=_opener)

    def _opener(path, flags):
        is_new = flags & os.O_CREAT and not os.path.lexists(path)
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        # the file type of st_mode: a regular file, or a folder, which `open` refuses
        if os.fstat(handle).st_mode >> 12 not in (0o10, 0o04):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file", path)
        if is_new:
            folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        elif flags & os.O_CREAT:
            # a program without a umask made it
            os.fchmod(handle, 0o600)
        return handle

    def is_private(handle):
        """Whether no other user can use an open file of this user; ssh asks the same of a key."""
        found = os.fstat(handle.fileno())
        return found.st_uid != os.getuid() or not found.st_mode & 0o077

    def lock_folder(directory):
        """An open file that locks a folder for this process while it is open.

        It says which process holds the lock. Raises `BlockingIOError`, as any other `OSError`.
        """
        import fcntl

        handle = open_private(os.path.join(directory, "lock"), "a+b")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise
        handle.truncate(0)
        handle.write(b"process %d" % os.getpid())
        handle.flush()
        return handle


class Clock:
    """Milliseconds since the clock was made, those of sleep included where the system counts them
    (docs/limits.md). It never wraps; `ticks_ms` wraps within days.

    Call `now_ms` at least once in six days, half the period of MicroPython's ticks.
    """

    def __init__(self):
        self._last = _ticks_ms()
        self._now_ms = 0

    def now_ms(self):
        """Milliseconds since the clock was made, as an int that only grows."""
        ticks = _ticks_ms()
        self._now_ms += _ticks_diff(ticks, self._last)
        self._last = ticks
        return self._now_ms
