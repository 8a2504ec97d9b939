"""Live values of this machine, and a pump and a sluice that exist in memory only.

The values come from Linux' /proc and /sys. On other systems (macOS) there are MicroPython's heap
and uptime only.
"""

import gc

from writ.wire import coap


def setup(node):
    """Serve this machine's resources, or those that config.json lists: "serve": ["load"]."""
    all_paths = ("load", "memory", "network", "temperature", "heap", "uptime", "pump", "sluice")
    state = ["off"]
    moved = ["closed", 0]

    def pump(request):
        if request.method == coap.PUT:
            if request.payload not in (b"on", b"off"):
                return coap.BAD_REQUEST, b"on or off"
            state[0] = request.payload.decode()
        return state[0]

    def sluice(request):
        if request.method == coap.PUT:
            if request.payload not in (b"open", b"closed"):
                return coap.BAD_REQUEST, b"open or closed"
            moved[0] = request.payload.decode()
            moved[1] += 1
        return "%s, moves: %d" % (moved[0], moved[1])

    for path in node.config.get("serve", all_paths):
        if path == "pump":
            node.resource(path, methods=("GET", "PUT"))(pump)
        elif path == "sluice":
            node.resource(path, methods=("GET", "PUT"))(sluice)
        elif value(node, path) is not None:
            # observers get a notification each second, a GET the value of that moment
            node.resource(path, period_s=1)(lambda request: value(node, request.path))


def value(node, path):
    """The present value as text, or None if this machine does not have it."""
    if path == "uptime":
        return "%d seconds up" % (node.clock.now_ms() // 1000)
    if path == "heap":
        gc.collect()
        if hasattr(gc, "mem_free"):
            return "%d bytes free" % gc.mem_free()
        return "%d objects alive" % len(gc.get_objects())
    if path == "load":
        found = _line("/proc/loadavg")
        return found and found.split()[0]
    if path == "memory":
        found = _line("/proc/meminfo", "MemAvailable")
        return found and "%d MB available" % (int(found.split()[1]) // 1024)
    if path == "temperature":
        found = _line("/sys/class/thermal/thermal_zone0/temp")
        return found and "%.1f degrees" % (int(found) / 1000)
    if path == "network":
        if _line("/proc/net/dev") is None:
            return None
        received = sent = 0
        with open("/proc/net/dev") as handle:
            for line in handle:
                # all interfaces together: the first and the ninth number after each name
                counts = line.partition(":")[2].split()
                if counts:
                    received += int(counts[0])
                    sent += int(counts[8])
        return "%d bytes in, %d out" % (received, sent)
    return None


def _line(file, start=""):
    # the first line of a file that begins so, or None
    try:
        with open(file) as handle:
            for line in handle:
                if line.startswith(start):
                    return line
    except OSError:
        pass
    return None
