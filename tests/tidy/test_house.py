"""The house rules that a program can check. CONTRIBUTING.md says why they are so."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edge", "central", "shared", "deploy")
LINES_MAX = 400

MQTT = {"paho", "aiomqtt", "amqtt"}
SPEAK_MQTT = {
    "edge/gateway.py",
    "edge/uplink.py",
    "central/link.py",
    "central/followers/republish.py",  # a link of its own: nothing in ingest waits for its readers
    "central/api/till.py",  # the API puts orders in as a till of a site
}
SQL = {"sqlite3", "sqlite_utils", "sqlalchemy"}
SPEAK_SQL = {
    "edge/archive.py",
    "edge/database.py",
    "edge/store.py",
    "edge/migrations.py",
    "edge/quarantine.py",
    "central/agreement.py",
    "central/columns.py",
    "central/correspondence.py",
    "central/database.py",
    "central/devices.py",
    "central/digest.py",
    "central/followers/store.py",
    "central/followers/tables.py",
    "central/followers/tail.py",
    "central/history.py",
    "central/holdings.py",
    "central/guards.py",
    "central/ledger.py",
    "central/ownership.py",
    "central/past.py",
    "central/postgres.py",
    "central/published.py",
    "central/queries.py",
    "central/schema.py",
    "central/sqlite.py",
    "central/retention.py",
    "central/streams.py",
    "central/system_tables.py",
    "central/tables.py",
    "central/tracing.py",
    "central/vault.py",
    "central/views.py",
    "shared/wal.py",
}
# Demo and simulator count in the daemons' own files, independently of their code.
READ_SQL = ("deploy/demo/", "deploy/sim/")
MIGRATE_SQL = ("central/migrations/",)

FORBIDDEN = {
    "shared": {"edge", "central", "deploy"},
    "edge": {"central", "deploy"},
    "central": {"edge", "deploy"},
}

KERNEL_ROOMS = (
    "allotment", "calendar", "chosen", "covering", "fences", "improve", "interchange", "kits",
    "lateness", "merging", "placing", "reach", "relaxation", "root", "search", "sites", "subset",
    "tails", "tolls",
)  # fmt: skip
KERNELS = tuple(f"edge/routing/{room}.py" for room in KERNEL_ROOMS)
KERNELS_IMPORT = {"numpy", "numpy.typing", "numba", "edge.routing.kernel", "edge.routing.problem"}
KERNELS_IMPORT |= {f"edge.routing.{room}" for room in KERNEL_ROOMS}
KERNELS_IMPORT |= {"__future__", "collections.abc", "typing"}  # for annotations

# Time, ids and randomness are passed in here, so that a simulator can repeat everything.
PURE = (
    "edge/areas.py",
    "edge/burst.py",
    "edge/cancellations.py",
    "edge/capacity.py",
    "edge/commands.py",
    "edge/core.py",
    "edge/counts.py",
    "edge/decisions.py",
    "edge/devices.py",
    "edge/engine.py",
    "edge/failures.py",
    "edge/health.py",
    "edge/incoming.py",
    "edge/intake.py",
    "edge/journal.py",
    "edge/orders.py",
    "edge/outbox.py",
    "edge/rebuild.py",
    "edge/records.py",
    "edge/shares.py",
    "edge/sourcing.py",
    "edge/state.py",
    "edge/sync.py",
    "edge/tasks.py",
    "edge/stock.py",
    "edge/network.py",
    "edge/transits.py",
    "edge/routing/**/*.py",
    "central/accounts.py",
    "central/admin.py",
    "central/answers.py",
    "central/chains.py",
    "central/consequences.py",
    "central/courier.py",
    "central/dealings.py",
    "central/demand.py",
    "central/desk.py",
    "central/escrow.py",
    "central/evidence.py",
    "central/feed.py",
    "central/followers/kinds.py",
    "central/followers/schedule.py",
    "central/greeting.py",
    "central/hub.py",
    "central/hub_stream.py",
    "central/lifecycle.py",
    "central/lines.py",
    "central/reasons.py",
    "central/recalls.py",
    "central/redaction.py",
    "central/relief.py",
    "central/sealing.py",
    "central/story.py",
    "central/stream.py",
    "central/systems.py",
    "central/territory.py",
    "central/wording.py",
    "shared/lots.py",
)
UNREPEATABLE_MODULES = {"time", "random", "secrets"}
UNREPEATABLE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "default_rng"}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}

# Put together here, so that this file does not find itself.
_HOSTS = ("pypi" + r"\.org", "python" + r"hosted\.org", "deb" + r"\.debian\.org", "npm" + r"js\.")
FOREIGN = re.compile(
    "|".join((*_HOSTS, r"(?<![\w.])/(?:work|root)/", r"(?<![\w.])/home/\w", "--" + "index-url"))
)


@cache
def tracked() -> tuple[Path, ...]:
    """The files that are, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return tuple(sorted(ROOT / name for name in names if name and (ROOT / name).is_file()))
    folders = (*PACKAGES, "tests")
    found = {path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    found |= {path for path in ROOT.iterdir() if path.is_file()}
    return tuple(sorted(path for path in found if "__pycache__" not in path.parts))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules(*packages: str) -> list[Path]:
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and name_of(path).split("/")[0] in (packages or PACKAGES)
    ]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in it: `from a import b` gives `a`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: import by full name"
            yield node.module or ""


def imports_top(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def assert_none(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_edge_and_central_know_only_what_they_share(package):
    assert_none(
        [
            f"{name_of(path)} imports {wrong}"
            for path in modules(package)
            for wrong in sorted(imports_top(path) & FORBIDDEN[package])
        ]
    )


def test_product_never_imports_its_tests():
    assert_none([name_of(path) for path in modules() if "tests" in imports_top(path)])


def test_only_gateway_uplink_and_links_import_an_mqtt_client():
    assert_none(
        [
            f"{name_of(path)} imports {wrong}"
            for path in modules("edge", "central", "shared")
            for wrong in sorted(imports_top(path) & MQTT)
            if name_of(path) not in SPEAK_MQTT
        ]
    )


def test_only_stores_speak_sql():
    assert_none(
        [
            f"{name_of(path)} imports {wrong}"
            for path in modules()
            for wrong in sorted(imports_top(path) & SQL)
            if name_of(path) not in SPEAK_SQL
            and not name_of(path).startswith(READ_SQL + MIGRATE_SQL)
        ]
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_import_numpy_and_numba_alone(kernel):
    path = ROOT / kernel
    assert path.exists(), f"{kernel} has moved: say so here"
    assert_none([name for name in imports(path) if name not in KERNELS_IMPORT])


def test_pure_modules_are_given_time_ids_and_randomness():
    paths = {path for pattern in PURE for path in ROOT.glob(pattern)}
    faults = []
    for path in sorted(paths):
        for wrong in sorted(imports_top(path) & UNREPEATABLE_MODULES):
            faults.append(f"{name_of(path)} imports {wrong}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr in UNREPEATABLE_CALLS:
                faults.append(f"{name_of(path)}:{node.lineno} asks for {node.attr}")
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random"):
                faults.append(f"{name_of(path)}:{node.lineno} asks for randomness")
    assert_none(faults)


def test_files_are_short():
    counted = ((path, path.read_text().count("\n")) for path in modules(*PACKAGES, "tests"))
    assert_none([f"{name_of(path)}: {lines}" for path, lines in counted if lines > LINES_MAX])


def test_files_are_named_for_what_is_in_them():
    assert_none([name_of(path) for path in modules(*PACKAGES, "tests") if path.stem in VAGUE_NAMES])


def test_no_exception_is_caught_bare():
    assert_none(
        [
            f"{name_of(path)}:{node.lineno}"
            for path in modules(*PACKAGES, "tests")
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ExceptHandler) and node.type is None
        ]
    )


def test_blind_exceptions_say_why():
    # That every noqa names its rule is for ruff to see.
    blind = re.compile(r"#\s*noqa:[^#]*\bBLE001\b(?P<why>.*)")
    assert_none(
        [
            f"{name_of(path)}:{number}"
            for path in modules(*PACKAGES, "tests")
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if (found := blind.search(line)) and not re.search(r"\w", found["why"])
        ]
    )


def test_every_module_says_what_it_is():
    assert_none([name_of(path) for path in modules() if not ast.get_docstring(tree_of(path))])


def test_nothing_names_a_machine_or_a_registry():
    faults = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # packed data
        for number, line in enumerate(text.splitlines(), 1):
            if FOREIGN.search(line):
                faults.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert_none(faults)


def test_lock_has_a_hash_for_every_package():
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(pins) > 30
    assert_none([pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin])
