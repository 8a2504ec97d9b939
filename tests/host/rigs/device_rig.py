"""A device that runs in a thread of the test's process, with a real socket."""

import threading
from pathlib import Path

from interop_rig import free_port

from writ.agent import Node
from writ.authority.store import FileFlash, Store


class Device:
    """A device with a scope id and a key. address: host:port; node: its agent."""

    def __init__(self, path: Path, name: str, scope: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        config = {"name": name, "scope": scope, "listen": self.address}
        self.node = Node(Store(FileFlash(str(path))), config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = threading.Event()
        self.node.open()
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.node.step(20)

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._stopped.set()
        self._thread.join(5)
        self.node.link.close()
