"""A scene for the followers' tests: a ledger that grows, and HTTP endpoints that answer as told."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from central.config import Webhook
from central.database import close_database, open_reader
from central.followers.signatures import rotate_secret
from central.followers.store import Store
from central.followers.tail import Tail
from central.followers.webhooks import Worker
from shared.ending import end
from shared.events import PackagePacked, PickCompleted
from tests.central_scene import Scene, ScriptedEdge

PATIENCE_S = 20.0


class Request(NamedTuple):
    """What an endpoint was sent."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def sequence(self) -> int:
        """The event's position in its stream."""
        return int(self.event["sequence"])


class Reply(NamedTuple):
    """What an endpoint answers; `hang` is waited for before it does."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    hang: threading.Event | None = None


class Receiver:
    """An HTTP server on a free port of this machine, and what it was sent, in order of arrival."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[Request], Reply] = lambda _: Reply()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # who sent it was killed
                request = Request({k.lower(): v for k, v in self.headers.items()}, body)
                receiver.requests.append(request)
                reply = receiver.reply(request)
                if reply.hang is not None:
                    reply.hang.wait(PATIENCE_S)
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                pass  # a killed process leaves its connections

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/events"

    def sequences(self) -> list[int]:
        return [request.sequence for request in list(self.requests)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()


class Hand:
    """A clock that a test moves; it begins with the real time."""

    def __init__(self) -> None:
        self.at_ms = time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        return self.at_ms


def webhook(directory: Path, url: str, name: str = "erp", **changes: Any) -> Webhook:
    """An endpoint with a secret, told from the ledger's first event on."""
    path = directory / f"{name}.secret"
    if not path.exists():
        rotate_secret(path)
    return Webhook(**({"name": name, "url": url, "secret_file": path, "begin": "first"} | changes))


def grow(stage: Scene, edge: ScriptedEdge, *order_ids: str | None) -> None:
    """One more event for each order; none: of no order."""
    first = len(edge.log) + 1
    for order_id in order_ids:
        kind = PickCompleted if len(edge.log) % 2 else PackagePacked
        edge.say(kind(task_id=f"{order_id}.0.0"), order_id)
    for start in range(first, len(edge.log) + 1, 256):
        stage.tell(edge.batch(start, start + 255))


@asynccontextmanager
async def working(directory: Path, store: Store, clock: Hand, *webhooks: Webhook) -> Any:
    """Workers on this loop, over the central database in a folder."""
    reader = open_reader(directory)
    workers = [Worker(x, store, Tail(reader), clock, lambda: 0.0) for x in webhooks]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield tasks
    finally:
        await end(*tasks)
        close_database(reader)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - it is another thread, or a database, that makes it so
            await asyncio.sleep(0.01)
