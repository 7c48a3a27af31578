"""A small torture: the whole of it is `make torture`."""

import json
from pathlib import Path

import pytest

from deploy.torture.plan import Figures
from deploy.torture.run import run
from tests.conftest import skip_without_mosquitto
from tests.processes import that_name

FIGURES = Figures(
    payments=90, edge_kills=8, broker_kills=2, wipes=1, central_kills=1, stops=1, line_faults=4
)
SEED = 11


@pytest.mark.slow
@pytest.mark.mosquitto
def test_nothing_is_lost_doubled_or_oversold_whatever_breaks(tmp_path: Path):
    skip_without_mosquitto()
    path, data = tmp_path / "report.json", tmp_path / "data"
    code = run(SEED, FIGURES, path, minutes_max=10, data_dir=data, brokers="mosquitto")
    report = json.loads(path.read_bytes())
    assert report["failures"] == []
    assert code == 0
    assert report["happened"]["edge_kill"] == FIGURES.edge_kills
    payments, stock = report["payments"], report["stock"]
    assert payments["begun"] == payments["in_ledger"] == FIGURES.payments
    assert (payments["lost"], payments["doubled"], stock["oversold"]) == (0, 0, 0)
    assert set(report["integrity"].values()) == {"ok"}
    assert len(json.loads((data / "faults.json").read_bytes())) == sum(report["happened"].values())
    assert that_name(tmp_path) == []


def test_a_torture_that_cannot_start_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("deploy.demo.stage.Stage._broker_command", lambda *_: ["false"])
    assert run(SEED, FIGURES, data_dir=tmp_path, brokers="embedded") == 2
    assert "broker-central ended with 1" in capsys.readouterr().out
    assert that_name(tmp_path) == []
