import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from deploy.demo.wan import HOST, Wan


async def end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1024):
                writer.write(chunk)
        await end(writer)

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def say(port: int, word: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(word)
    try:
        return await asyncio.wait_for(reader.read(len(word)), 2)
    finally:
        await end(writer)


async def test_a_whole_line_carries_both_ways():
    async with echo() as far, Wan(far) as wan:
        assert await say(wan.port, b"x" * 100_000) != b""
        assert await say(wan.port, b"hello") == b"hello"


async def test_a_cut_ends_what_is_open():
    async with echo() as far, Wan(far) as wan:
        reader, writer = await asyncio.open_connection(HOST, wan.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        wan.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        await end(writer)


async def test_a_cut_line_turns_new_connections_away_until_it_heals():
    async with echo() as far, Wan(far) as wan:
        wan.cut()
        with suppress(ConnectionError):
            assert await say(wan.port, b"hello") == b""
        assert wan.turned_away == 1
        wan.heal()
        assert await say(wan.port, b"hello") == b"hello"


async def test_a_far_side_that_is_away_ends_the_connection():
    async with echo() as far:
        pass
    async with Wan(far) as wan:
        with suppress(ConnectionError):
            assert await say(wan.port, b"hello") == b""


async def test_a_reset_ends_what_is_open_and_nothing_else():
    async with echo() as far, Wan(far) as wan:
        reader, writer = await asyncio.open_connection(HOST, wan.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        wan.reset()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), 2)
        await end(writer)
        assert await say(wan.port, b"again") == b"again"
        assert wan.broken > 0


async def test_a_halved_packet_arrives_to_its_middle_and_the_line_is_reset():
    heard = bytearray()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1024):
                heard.extend(chunk)
        await end(writer)

    server = await asyncio.start_server(hear, HOST, 0)
    async with server, Wan(server.sockets[0].getsockname()[1]) as wan:
        wan.halve()
        reader, writer = await asyncio.open_connection(HOST, wan.port)
        writer.write(b"0123456789")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        await end(writer)
        assert bytes(heard) in (b"01234", b"")  # a reset may overtake what it follows


async def test_a_delayed_line_carries_everything_later():
    async with echo() as far, Wan(far) as wan:
        wan.delay_s = 0.05
        begun_s = asyncio.get_running_loop().time()
        assert await say(wan.port, b"hello") == b"hello"
        assert asyncio.get_running_loop().time() - begun_s >= 2 * wan.delay_s
