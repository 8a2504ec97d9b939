"""A device that reports its heap: `micropython heap_device.py FOLDER [IMAGE]`.

IMAGE: a file with a ROMFS image, from which the core is loaded. It is in the heap, unlike a chip's.

`peak` is the most heap in use, without garbage, at the calls of the crypto primitives; `free` is
the free heap and `largest` its largest piece, if the request has a payload.
"""

import gc
import json
import sys

if len(sys.argv) > 2:
    import vfs

    with open(sys.argv[2], "rb") as handle:
        vfs.mount(vfs.VfsRom(handle.read()), "/rom")
    sys.path[:] = ["/rom", ".frozen"]

import writ

node = writ.Node.load(sys.argv[1])
from writ import crypto  # noqa: E402

peak = 0


def watch(name):
    plain = getattr(crypto, name)

    def watched(*arguments):
        global peak
        gc.collect()
        peak = max(peak, gc.mem_alloc())
        return plain(*arguments)

    setattr(crypto, name, watched)


for name in ("p256_ecdh", "p256_public", "ed25519_verify", "hkdf_expand", "aes_ccm_decrypt"):
    watch(name)
node.open()
gc.collect()
idle = gc.mem_alloc()


def largest():
    """The largest piece that can be allocated, in bytes, within 64."""
    low, high = 0, gc.mem_free()
    while high - low > 64:
        size = (low + high) // 2
        try:
            bytearray(size)
            low = size
        except MemoryError:
            high = size
        gc.collect()
    return low


@node.resource("temp")
def temp(request):
    figures = {"idle": idle, "peak": peak, "epoch": node.authority.epoch}
    if request.payload:
        gc.collect()
        figures["free"] = gc.mem_free()
        figures["largest"] = largest()
    return json.dumps(figures)


print("ready")
node.run()
