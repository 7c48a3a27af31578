"""Brokers for tests: a process of their own on a free loopback port, gone when the test is.

`running("embedded" | "mosquitto", directory)` is a context manager; the fixture `broker`
(tests/conftest.py) gives a test both in turn.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
START_S_MAX: Final = 20.0
STOP_S_MAX: Final = 15.0
KINDS: Final = ("embedded", "mosquitto")

_ROOT = Path(__file__).resolve().parent.parent

_MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {directory}/
autosave_interval 1800
max_inflight_messages 1000
max_queued_messages 100000
max_packet_size 16777216
log_dest file {directory}/mosquitto.log
{user}
"""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def mosquitto_path(program: str = "mosquitto") -> str | None:
    """Where `program` is; Debian puts the broker into /usr/sbin, which users rarely search."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def user_line() -> str:
    """Mosquitto drops root by itself, and could then not write to the test's directory."""
    return "user root" if os.geteuid() == 0 else ""


class Broker:
    """A broker process that can be stopped, killed and started again on the same port.

    Attributes:
        kind: "embedded" or "mosquitto".
        durable: whether what it has acknowledged outlives a proper `stop`.
    """

    def __init__(self, kind: str, directory: Path, conf: Path | None = None, port: int = 0) -> None:
        """`conf` is a Mosquitto configuration that listens on `port`; without one, a plain one."""
        self.kind = kind
        self.host = HOST
        self.port = port or free_port()
        self.directory = directory
        self.durable = kind == "mosquitto"
        self._conf = conf
        self._process: subprocess.Popen[bytes] | None = None
        self.output_path = directory / "output.txt"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def _command(self) -> Sequence[str]:
        if self.kind == "embedded":
            return [sys.executable, "-m", "deploy.broker", "--host", HOST, "--port", str(self.port)]
        program = mosquitto_path()
        assert program, "mosquitto is missing; the fixture should have skipped"
        conf = self._conf
        if conf is None:
            conf = self.directory / "mosquitto.conf"
            text = _MOSQUITTO_CONF.format(
                port=self.port, host=HOST, directory=self.directory, user=user_line()
            )
            conf.write_text(text)
        return [program, "-c", str(conf)]

    def start(self) -> None:
        """Start and wait until it takes connections."""
        assert self._process is None, "already running"
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.output_path.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1.0):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.kind} did not start:\n{self.output()}")
            time.sleep(0.01)

    def stop(self) -> int:
        """Ask it to end, wait until it has. Returns its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.kind} did not end in {STOP_S_MAX} s") from None

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self, *, wipe: bool = False) -> None:
        """Stop and start on the same port; with `wipe`, as after the loss of its disk."""
        if wipe:
            self.kill()
            for path in self.directory.glob("*.db*"):
                path.unlink()
        else:
            self.stop()
        self.start()

    def output(self) -> str:
        """What it has printed, and Mosquitto's log."""
        paths = (self.output_path, self.directory / "mosquitto.log")
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())


@contextlib.contextmanager
def running(
    kind: str, directory: Path, conf: Path | None = None, port: int = 0
) -> Iterator[Broker]:
    """A broker for the length of a `with`; ended for certain afterwards."""
    broker = Broker(kind, directory, conf, port)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
