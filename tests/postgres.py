"""A private PostgreSQL for tests: made from the system's package, gone when the tests are.

It listens on a Unix socket in a folder of its own, and syncs to the disk as a real one does. The
fixture `places` (tests/conftest.py) gives a test databases on it, or SQLite files, in turn.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

from central.database import Location, close_database, open_database
from central.postgres import Server

USER: Final = "pointsman"
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 30.0

_SHAPE: Final = """
SELECT relname::text, attname::text FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname::text FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'version', version_num FROM alembic_version
ORDER BY 1, 2
"""
_EMPTY: Final = """
SET session_replication_role = replica;
DO $$ DECLARE x record; BEGIN
    FOR x IN SELECT tablename AS name FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP EXECUTE format('DELETE FROM %I', x.name); END LOOP;
    FOR x IN SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public'
    LOOP PERFORM setval(x.name::regclass, 1, false); END LOOP;
END $$
"""


def programs() -> Path | None:
    """The folder of the newest server's programs; Debian puts them where no shell looks."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    folders = [x.parent for x in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(folders, key=lambda x: int(x.parent.name), default=None)


class Postgres:
    """A server process, and its databases."""

    def __init__(self, directory: Path) -> None:
        folder = programs()
        assert folder is not None, "PostgreSQL is missing; the fixture should have skipped"
        self._programs = folder
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._model: Any = None

    def start(self) -> None:
        """Make the cluster if there is none, start, wait until it takes connections."""
        data, log = self._directory / "data", self._directory / "output.txt"
        with log.open("ab") as output:
            if not data.exists():
                made = [self._programs / "initdb", "-D", data, "-U", USER, "-A", "trust",
                        "-E", "UTF8", "--locale=C", "--no-sync"]  # fmt: skip
                subprocess.run(
                    [*map(str, made)], **_unprivileged(), stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output, check=True,
                )  # fmt: skip
            # If the tests are killed, the server goes too.
            command = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
            command += [str(self._programs / "postgres"), "-D", str(data)]
            for option in (
                "listen_addresses=", f"unix_socket_directories={self._directory}",
                "max_connections=50", "max_wal_size=4GB", "checkpoint_timeout=1h",
            ):  # fmt: skip
                command += ["-c", option]
            self._process = subprocess.Popen(
                command, **_unprivileged(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"PostgreSQL did not start:\n{log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; what was committed is kept."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_S_MAX)

    def connect(self, name: str) -> "psycopg.Connection[Any]":
        """A connection to a database, each statement a transaction."""
        return psycopg.connect(host=str(self._directory), user=USER, dbname=name, autocommit=True)

    def location(self, name: str) -> Server:
        """Where a database is."""
        return Server(f"postgresql://{USER}@/{name}?host={self._directory}")

    def take(self, options: str = "") -> str:
        """A database without rows, of the tests before if there is one; returns its name."""
        if self._free and not options:
            return self._free.pop()
        name = f"test_{next(self._numbers)}"
        with self.connect("postgres") as admin:
            admin.execute(f"CREATE DATABASE {name} {options or 'TEMPLATE template0'}")
        return name

    def give_back(self, name: str) -> None:
        """Nobody uses a database any more: empty it, which is faster than to make another."""
        self.hang_up(name)
        with self.connect(name) as admin:
            admin.execute("DROP SCHEMA IF EXISTS followers CASCADE")
            if self._model is None:
                self._model = self._make_model()
            if _shape(admin) == self._model:
                admin.execute(_EMPTY)
            else:
                admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._free.append(name)

    def _make_model(self) -> Any:
        name = self.take(options="TEMPLATE template0")
        close_database(open_database(self.location(name)))
        with self.connect(name) as admin:
            return _shape(admin)

    def hang_up(self, name: str) -> int:
        """End all connections to a database; returns how many there were."""
        with self.connect("postgres") as admin:
            return len(
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                    "WHERE datname = %s",
                    [name],
                ).fetchall()
            )


def _shape(admin: "psycopg.Connection[Any]") -> Any:
    """What tables, columns and triggers there are; None without ours."""
    try:
        return admin.execute(_SHAPE).fetchall()
    except psycopg.errors.UndefinedTable:
        return None


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server for the length of a `with`."""
    directory = Path(tempfile.mkdtemp(prefix="pointsman-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, _user())
    server = Postgres(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Places:
    """Where a test's databases are: all on one kind of database."""

    def __init__(self, directory: Path, server: Postgres | None) -> None:
        self.server = server
        self._directory = directory
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    def new(self) -> Location:
        """A place without events; a folder does not exist yet."""
        if self.server is None:
            return self._directory / f"central-{next(self._numbers)}"
        self._made.append(self.server.take())
        return self.server.location(self._made[-1])

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Location]:
        """A place for the length of a `with`."""
        yield self.new()
        self.clear()

    def clear(self) -> None:
        """Remove all of them."""
        if self.server is None:
            for path in self._directory.glob("central-*"):
                shutil.rmtree(path, ignore_errors=True)
            return
        for name in self._made:
            self.server.give_back(name)
        self._made.clear()


def _user() -> str:
    """Who runs the server if we are root, whom it refuses."""
    return "postgres" if any(x.pw_name == "postgres" for x in pwd.getpwall()) else "nobody"


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_user())
    # The folder that we stand in may be closed to that user.
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
