"""The threads that read the database, when it does not do what it should."""

import asyncio
import threading

import pytest
from sqlalchemy import text

from central.api.readers import WAITING_MAX, Readers
from central.database import open_reader
from central.ledger import last_position
from shared.errors import ConfigError, OverloadedError, StorageError
from tests.central_scene import scene


@pytest.fixture
def readers(tmp_path):
    found = Readers(lambda: open_reader(tmp_path), threads=1)
    yield found
    found.close()


async def test_a_database_that_comes_later_is_found(readers, tmp_path):
    with pytest.raises(ConfigError):
        await readers.read(last_position)
    with scene(tmp_path):
        assert await readers.read(last_position) == 0


async def test_a_fault_ends_neither_the_thread_nor_the_next_read(readers, tmp_path):
    with scene(tmp_path):
        with pytest.raises(StorageError):
            await readers.read(lambda db: db.execute(text("SELECT nothing FROM nowhere")))
        with pytest.raises(ZeroDivisionError):
            await readers.read(lambda db: 1 // 0)
        assert await readers.read(last_position) == 0


async def test_a_reader_cannot_write(readers, tmp_path):
    with scene(tmp_path), pytest.raises(StorageError):
        await readers.read(lambda db: db.execute(text("DELETE FROM orders")))


async def test_more_than_may_wait_are_refused(readers, tmp_path):
    with scene(tmp_path):
        busy, go_on = threading.Event(), threading.Event()

        def hold(_):
            busy.set()
            go_on.wait(20)

        held = asyncio.create_task(readers.read(hold))
        await asyncio.to_thread(busy.wait, 20)
        waiting = [asyncio.create_task(readers.read(last_position)) for _ in range(WAITING_MAX)]
        try:
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError):
                await readers.read(last_position)
        finally:
            go_on.set()
        await held
        assert set(await asyncio.gather(*waiting)) == {0}
