"""The sources that a firmware image freezes, on MicroPython: they are not linked."""

import os
import shutil
import subprocess
from pathlib import Path

import build_mpy
import device_files
import pytest
from Crypto.Cipher import AES

MICROPYTHON = build_mpy.find_micropython()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MICROPYTHON is None, reason="no micropython here"),
]
PROGRAM = """
import sys
if HAS_NO_CRYPTOLIB:
    sys.modules["cryptolib"] = sys
import writ
from writ import coap, errors
node = writ.Node.load(FOLDER)
import writ.crypto as crypto
sealed = crypto.aes_ccm_encrypt(bytes(range(16)), bytes(13), b"a", b"plaintext")
assert crypto.aes_ccm_decrypt(bytes(range(16)), bytes(13), b"a", sealed) == b"plaintext"
assert coap.GET == 1 and issubclass(errors.NotAllowed, errors.Rejection)
assert not crypto.es256_verify(bytes(32), True, b"m", bytes(64))
print(sealed.hex(), "writ.aes" in sys.modules, node.name)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with exactly the files of the manifest."""

    def package(name: str, files: tuple[str, ...], opt: int) -> None:
        for file in files:
            target = tmp_path / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(device_files.FIRMWARE / name / file, target)

    source = (device_files.FIRMWARE / "manifest.py").read_text()
    exec(source, {"metadata": lambda version: None, "package": package})
    return tmp_path


@pytest.mark.parametrize("has_no_cryptolib", [False, True])
def test_the_sources_of_the_manifest_run_with_and_without_cryptolib(
    image: Path, has_no_cryptolib: bool
) -> None:
    folder = image / "node"
    folder.mkdir()
    (folder / "config.json").write_text('{"name": "soil"}')
    head = f"HAS_NO_CRYPTOLIB = {has_no_cryptolib}\nFOLDER = {str(folder)!r}\n"
    (image / "app.py").write_text(head + PROGRAM)
    done = subprocess.run(
        [str(MICROPYTHON), "-X", "heapsize=1M", "app.py"],
        cwd=image,
        env={**os.environ, "MICROPYPATH": ":.frozen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    cipher = AES.new(bytes(range(16)), AES.MODE_CCM, nonce=bytes(13), mac_len=8)
    cipher.update(b"a")
    sealed = b"".join(cipher.encrypt_and_digest(b"plaintext"))
    assert done.stdout.split() == [sealed.hex(), str(has_no_cryptolib), "soil"], done.stdout
