"""The command line: `python tools/radio run FILE`, `tell`, `speed`. See README.md."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # started by its path
    sys.path[0] = str(ROOT / "tools")
    sys.path.insert(1, str(ROOT / "firmware"))

from radio.control import HELP, Control, Server, tell  # noqa: E402
from radio.outcome import Happening  # noqa: E402
from radio.report import as_json, as_text, summary, summary_as_text  # noqa: E402
from radio.scene import Scene, SceneError  # noqa: E402
from radio.speed import measure  # noqa: E402


def run(options: argparse.Namespace) -> int:
    """Run a scene until Ctrl-C or SIGTERM, or for --seconds."""
    try:
        scene = Scene.load(options.file)
        scene.open()
    except (SceneError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show = as_json if options.json else as_text

    def watch(event: Happening) -> None:
        print(show(event), flush=True)

    scene.channel.watch = watch
    server = None
    try:
        if options.control:
            server = Server(Control(scene), options.control)
        for name, node in scene.nodes.items():
            if options.json:
                ready = {"event": "ready", "node": name, "modem": node.modem.kind}
                print(json.dumps(ready | {"port": str(node.port.link)}), flush=True)
            else:
                print(f"{name}: {node.modem.kind} at {node.port.link}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: scene.loop.stop())
        scene.loop.run(options.seconds)
        for radio in scene.channel.radios.values():
            print(
                json.dumps(summary(radio)) if options.json else summary_as_text(radio), flush=True
            )
    except OSError as error:
        print(f"error: {options.control}: {error}", file=sys.stderr)
        return 1
    finally:
        if server is not None:
            server.close()
        scene.close()
    return 0


def tell_running(options: argparse.Namespace) -> int:
    """Send one command to a running scene."""
    try:
        answer = tell(options.socket, options.words)
    except OSError as error:
        print(f"error: {options.socket}: {error}; start `run` with --control", file=sys.stderr)
        return 1
    print(json.dumps({"answer": answer}) if options.json else answer)
    return 0 if answer == "ok" else 1


def measure_speed(options: argparse.Namespace) -> int:
    """Print how fast virtual time runs."""
    found = measure(options.nodes, options.transmissions)
    print(json.dumps(asdict(found)) if options.json else found.text())
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python tools/radio",
        description="A simulated LoRa channel with emulated modems on ptys (README.md).",
    )
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print lines of JSON")

    one = commands.add_parser("run", parents=[common], help="run a scene in real time")
    one.add_argument("file", type=Path, help="a TOML file (README.md)")
    one.add_argument("--control", type=Path, metavar="SOCKET", help="take commands on this socket")
    one.add_argument("--seconds", type=float, help="end by itself after this time")
    one.set_defaults(run=run)

    two = commands.add_parser(
        "tell",
        parents=[common],
        help="send a command to a running scene",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {verb} {what}" for verb, what in HELP.items()),
    )
    two.add_argument("socket", type=Path, help="the --control of the running scene")
    two.add_argument("words", nargs="+", metavar="WORD", help="a command and its arguments")
    two.set_defaults(run=tell_running)

    three = commands.add_parser("speed", parents=[common], help="measure virtual time")
    three.add_argument("--nodes", type=int, default=2000)
    three.add_argument("--transmissions", type=int, default=100_000)
    three.set_defaults(run=measure_speed)

    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
