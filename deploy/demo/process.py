"""A program of ours as a process: started, watched, talked to, ended."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

READY_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 10.0
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1


class StageError(Exception):
    """A process did not start, or ended by itself; the text has the end of its log."""


class Process:
    """A program of ours.

    Args:
        name: for the log file and for people.
        command: program and arguments.
        folder: where its log goes.
        nice: how far it stands back when processors are short.
    """

    talks: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        *,
        nice: int = 0,
    ) -> None:
        """See the class."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._nice = nice
        self._process: asyncio.subprocess.Process | None = None
        self._log_begin = 0

    async def start(self) -> None:
        """Start it, apart from the terminal's signals: we end it ourselves, in order."""
        with self.log.open("ab") as log:
            self._log_begin = log.tell()  # what an earlier run said is not said for this one
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE if self.talks else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.talks else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._enter,
                limit=1 << 20,
            )

    def _enter(self) -> None:
        """Runs in the child, before the program."""
        die_with_parent()
        os.nice(self._nice)

    async def ready(self) -> None:
        """Wait for the log line that says "ready".

        Raises:
            StageError: it ended, or took too long.
        """
        await self.says("ready")

    async def says(self, event: str) -> None:
        """Wait for a log line of this run.

        Args:
            event: what the line tells.

        Raises:
            StageError: it ended.
            TimeoutError: it took too long.
        """
        seen = self._log_begin
        async with asyncio.timeout(READY_S_MAX):
            while True:
                self.check()
                with self.log.open("rb") as log:
                    log.seek(seen)
                    lines = log.readlines()
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    seen += len(line)
                    with contextlib.suppress(json.JSONDecodeError):
                        if json.loads(line).get("event") == event:
                            return
                await asyncio.sleep(_POLL_S)

    def check(self) -> None:
        """Raise StageError if it has ended."""
        if self._process is not None and self._process.returncode is not None:
            end = self.log.read_text("utf-8", "replace")[-2_000:]
            raise StageError(f"{self.name} ended with {self._process.returncode}:\n{end}")

    async def kill(self) -> None:
        """End it as a power cut would; nothing happens to one that does not run."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def pause(self) -> None:
        """Keep it from running (SIGSTOP): it holds its connections, and says nothing."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> int | None:
        """End it; returns its exit code, or None if it never ran."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if process.stdin is not None:
                    process.stdin.close()  # the end of its input is the end of its work
                else:
                    process.send_signal(signal.SIGTERM)
                    process.send_signal(signal.SIGCONT)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._process = None
        return process.returncode


class Company(Process):
    """A process of devices, with the line protocol of `device.Wires`.

    Args:
        name: module of the demo, and name of its log.
        orders: the file with its orders.
        folder: where its log goes.
        nice: how far it stands back when processors are short.
        on_facts: called with everything it says.
    """

    talks: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        orders: Path,
        folder: Path,
        *,
        nice: int,
        on_facts: Callable[[dict[str, Any]], None],
    ) -> None:
        """See the class."""
        command = [sys.executable, "-m", f"deploy.demo.{name}", str(orders)]
        super().__init__(name, command, folder, nice=nice)
        self._on_facts = on_facts

    def tell(self, word: str) -> None:
        """Say a word."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next line that it says.

        Raises:
            StageError: it has nothing more to say.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
            self.check()
        facts: dict[str, Any] = json.loads(line)
        self._on_facts(facts)
        return facts

    async def done(self, word: str) -> dict[str, Any]:
        """Listen until a word is done; returns what was said besides."""
        said: dict[str, Any] = {}
        while said.get("done") != word:
            said |= await self.hear()
        return said

    async def do(self, word: str) -> dict[str, Any]:
        """Say a word and wait until it is done."""
        self.tell(word)
        return await self.done(word)

    async def listen(self) -> None:
        """Listen until cancelled, so that the pipe stays empty."""
        while True:
            await self.hear()


def die_with_parent() -> None:
    """Runs in the child: should we be killed, nobody else would end it. Linux only.

    By SIGKILL: one that is paused would hear nothing else.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:  # we were too late
            os._exit(1)
