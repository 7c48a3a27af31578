"""The stage: brokers, central and edges, as processes on free loopback ports."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from deploy.demo.process import READY_S_MAX, Process, StageError, die_with_parent
from deploy.demo.world import EDGES

HOST: Final = "127.0.0.1"
BrokerKind = Literal["auto", "mosquitto", "embedded"]

ELSEWHERE_NICE: Final = 5
_POLL_S: Final = 0.05


class Stage:
    """Everything that runs besides the devices.

    Args:
        folder: for configurations, logs and databases.
        clock: real_ms, simulated_ms and rate.
        kind: which brokers.
        edges: ids of the edges.
        lasting: the brokers keep a disk, as in a shop; the embedded ones have none.

    Attributes:
        brokers: "central" and edge ids to the broker that stands there.
        daemons: "central" and edge ids to the daemon.
    """

    def __init__(
        self,
        folder: Path,
        clock: tuple[int, int, float],
        kind: BrokerKind,
        edges: Sequence[str] = EDGES,
        *,
        lasting: bool = False,
    ) -> None:
        """See the class."""
        self.folder = folder
        self.clock = clock
        self.broker = broker_program(kind)
        self.names = ("central", *edges)
        self.ports: dict[str, int] = {}
        self.brokers: dict[str, Process] = {}
        self.daemons: dict[str, Process] = {}
        self._lasting = lasting

    def database(self, name: str) -> Path:
        """The database of central or of an edge."""
        return self.folder / name / ("central.db" if name == "central" else "edge.db")

    def config(self, name: str) -> Path:
        """The configuration of central or of an edge."""
        return self.folder / f"{name}.toml"

    async def open_brokers(self) -> None:
        """Start a broker for central and one for each edge; wait until they listen."""
        for name in self.names:
            self.ports[name] = _free_port()
            command = self._broker_command(name)
            self.brokers[name] = Process(f"broker-{name}", command, self.folder, nice=_nice(name))
            await self.brokers[name].start()
        await asyncio.gather(*(self.listening(name) for name in self.names))

    async def listening(self, name: str) -> None:
        """Wait until a broker takes connections."""
        await _listening(self.brokers[name], self.ports[name])

    def wipe(self, name: str) -> None:
        """Clear the disk of a broker that does not run."""
        shutil.rmtree(self._disk(name), ignore_errors=True)
        self._disk(name).mkdir(parents=True)

    async def start_daemons(self, wan_ports: dict[str, int]) -> None:
        """Start central and the edges; wait until they say that they are ready.

        Args:
            wan_ports: where each edge finds central's broker.
        """
        self._write_configs(wan_ports)
        for name in self.names:
            role = "central" if name == "central" else "edge"
            command = [*_CLI, role, "run", "--config", str(self.config(name))]
            self.daemons[name] = Process(name, command, self.folder, nice=_nice(name))
            await self.daemons[name].start()
        await asyncio.gather(*(daemon.ready() for daemon in self.daemons.values()))

    async def command(self, *arguments: str) -> str:
        """Run a `pointsman` command to its end; returns what it said.

        Raises:
            StageError: it failed.
        """
        process = await asyncio.create_subprocess_exec(
            *_CLI,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode("utf-8", "replace").strip()
        if process.returncode:
            raise StageError(f"pointsman {' '.join(arguments)}: {said}")
        return said

    async def publish(self, network: bytes) -> None:
        """Hand a network document to central."""
        document = self.folder / "network.json"
        document.write_bytes(network)
        config = str(self.config("central"))
        await self.command("central", "network", "publish", str(document), "--config", config)

    def check(self) -> None:
        """Raise StageError if a process has ended by itself."""
        for process in (*self.brokers.values(), *self.daemons.values()):
            process.check()

    async def stop_daemons(self) -> dict[str, int | None]:
        """End the edges, then central; returns their exit codes."""
        edges = [name for name in self.daemons if name != "central"]
        ended = await asyncio.gather(*(self.daemons[name].stop() for name in edges))
        codes = dict(zip(edges, ended, strict=True))
        if "central" in self.daemons:
            codes["central"] = await self.daemons["central"].stop()
        return codes

    async def close(self) -> None:
        """End everything."""
        await self.stop_daemons()
        await asyncio.gather(*(broker.stop() for broker in self.brokers.values()))

    def _disk(self, name: str) -> Path:
        return self.folder / f"broker-{name}"

    def _broker_command(self, name: str) -> list[str]:
        port = self.ports[name]
        if self.broker == "embedded":
            return [sys.executable, "-m", "deploy.broker", "--host", HOST, "--port", str(port)]
        self.wipe(name)
        text = files("deploy").joinpath("mosquitto", "loopback.conf").read_text("utf-8")
        if self._lasting:
            disk = f"persistence_location {self._disk(name).resolve()}/\nautosave_interval 1\n"
            text = text.replace("persistence false\n", f"persistence true\n{disk}")
        if os.geteuid() == 0:
            # Changing the user would undo `die_with_parent`: a killed demo would leave it behind.
            text += "user root\n"
        config = self.folder / f"broker-{name}.conf"
        config.write_text(text)
        return [self.broker, "-c", str(config), "-p", str(port)]

    def _write_configs(self, wan_ports: dict[str, int]) -> None:
        real_ms, simulated_ms, rate = self.clock
        clock = f"[clock]\nreal_ms = {real_ms}\nsimulated_ms = {simulated_ms}\nrate = {rate}\n"
        version = "5" if self.broker != "embedded" else "3.1.1"
        self.config("central").write_text(
            f'data_dir = "central"\n{_broker("broker", self.ports["central"], version)}{clock}'
        )
        for edge_id in self.names[1:]:
            lan = _broker("lan", self.ports[edge_id], version)
            wan = _broker("wan", wan_ports[edge_id], version)
            self.config(edge_id).write_text(
                f'edge_id = "{edge_id}"\ndata_dir = "{edge_id}"\n{lan}{wan}{clock}'
            )


@contextmanager
def folder(wanted: Path | None) -> Iterator[Path]:
    """The folder that is wanted, which stays, or else a temporary one."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with TemporaryDirectory(prefix="pointsman-") as name:
        yield Path(name)


def _nice(name: str) -> int:
    """Central stands elsewhere in real life: it must not take the edges' processors."""
    return ELSEWHERE_NICE if name == "central" else 0


_CLI: Final = [sys.executable, "-m", "deploy.cli"]


def broker_program(kind: BrokerKind) -> str:
    """The path of Mosquitto, or "embedded".

    Raises:
        StageError: Mosquitto is demanded and not there.
    """
    if kind != "embedded":
        # Debian keeps it where only root's PATH looks.
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if found:
            return found
        if kind == "mosquitto":
            raise StageError("no mosquitto program on the PATH or in /usr/sbin")
    return "embedded"


def _broker(table: str, port: int, version: str) -> str:
    return f'[{table}]\nhost = "{HOST}"\nport = {port}\nmqtt_version = "{version}"\n'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(process: Process, port: int) -> None:
    async with asyncio.timeout(READY_S_MAX):
        while True:
            process.check()
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(_POLL_S)
                continue
            writer.close()
            return
