"""The WAN between an edge and central's broker: a TCP proxy that can be cut, and worse."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 64 * 1024
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Closed so, a socket sends a reset instead of what it still holds."""


class Wan:
    """Forwards connections to a port on loopback while it is whole.

    Cut, it ends what is open and closes every new connection at once, so that the edge sees
    what it would see of a router without a line.

    Args:
        target_port: central's broker.

    Attributes:
        port: where the edge connects to.
        whole: False while cut.
        delay_s: how long everything that goes either way is held up.
        turned_away: connections that came while it was cut.
        broken: connections that ended because the line was cut, reset or halved.
    """

    def __init__(self, target_port: int) -> None:
        """See the class."""
        self.port = 0
        self.whole = True
        self.delay_s = 0.0
        self.turned_away = 0
        self.broken = 0
        self._halving = False
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connect, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening, end what is open."""
        assert self._server is not None
        self._server.close()
        self._abort()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """The line is down from now on."""
        self.whole = False
        self._abort()

    def heal(self) -> None:
        """The line is up again; it is for the edge to come back."""
        self.whole = True

    def reset(self) -> None:
        """End what is open, now; the line stays up."""
        self._abort()

    def halve(self) -> None:
        """Carry the next packet, whichever way it goes, only to its middle, and then reset."""
        self._halving = True

    def _abort(self) -> None:
        for writer in self._open:
            self.broken += 1
            _reset(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if not self.whole:
            self.turned_away += 1
            await _end(writer)
            return
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            # asyncio sets TCP_NODELAY on both sides of its own accord.
            far_reader, far = await asyncio.open_connection(HOST, self._target_port)
            self._open.add(far)
            await asyncio.gather(self._forward(reader, far), self._forward(far_reader, writer))
        except OSError:
            pass  # one side is gone, so the other one goes
        finally:
            for side in (writer, far):
                if side is not None:
                    self._open.discard(side)
                    await _end(side)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self._halving:
                self._halving = False
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
                self._abort()
                return
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    link = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the other side was faster
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
