"""The Ed25519 vectors of CCTV, read one by one: together they do not fit a device's heap."""

import vectors_ed25519

_NAME = "vectors_cctv_ed25519.txt"
COUNT = 914


def vectors():
    """(public key, message, signature, flags: str, "-" if plain) of each vector."""
    # beside this module, on a device as well
    folder, slash, _ = vectors_ed25519.__file__.rpartition("/")
    public = None
    with open(folder + slash + _NAME) as handle:
        for line in handle:
            if line.startswith("#"):
                continue
            if line.startswith("key "):
                public = bytes.fromhex(line[4:].strip())
                continue
            signature, number, flags = line.split()
            message = "ed25519vectors" + ("" if number == "-" else " " + number)
            yield public, message.encode(), bytes.fromhex(signature), flags
