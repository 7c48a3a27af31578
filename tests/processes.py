"""Daemons as processes of their own, and a look for processes that a test may have left behind."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE_S = 30.0


class Daemon:
    """A daemon as a process of its own; its log is read line by line."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *arguments],
            cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        # Read at once: a pipe that is full would hold the daemon up.
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def until(self, event: str) -> dict[str, object]:
        """The next line of the log about an event."""
        seen = []
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            seen.append(line)
            entry: dict[str, object] = json.loads(line)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"ended without {event!r}: {''.join(seen)}")

    def stop(self) -> int:
        """Ask it to end, wait until it has. Returns its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended. Returns its exit status."""
        status = self._process.wait(PATIENCE_S)
        self._reading.join()
        return status

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)


def that_name(folder: Path) -> list[str]:
    """Command lines of live processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command:
                found.append(command)
    return found
