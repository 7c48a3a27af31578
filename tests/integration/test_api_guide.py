"""The lines of docs/api.md, as a reader types them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.parts import Destination
from tests import shop
from tests.conftest import skip_without_mosquitto
from tests.town import town

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]


def commands():
    """Every curl of the guide, with its continuation lines."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl")]


def test_every_curl_of_the_guide_is_answered(tmp_path):
    skip_without_mosquitto()
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    with town(tmp_path) as place:
        payment = json.loads((ROOT / "deploy" / "config" / "payment.json").read_text())
        assert payment["destination"]["region"] == Destination(**payment["destination"]).region
        payment["lines"][0]["sku"] = "sku-1"  # the sample's network is another
        (tmp_path / "payment.json").write_text(json.dumps(payment))
        taken = place.put_in(shop.payment("sku-1"), "guide-000001")
        place.until(taken.headers["Location"])
        variables = {
            "API": str(place.client.base_url),
            "TOKEN": place.tokens["admin"],
            "ORDER": taken.json()["order_id"],
        }
        found = commands()
        assert len(found) == 9
        for command in found:
            endless = "changes" in command
            command = command.replace("curl", "curl -s --max-time 2" if endless else "curl -s -f")
            done = subprocess.run(
                ["/bin/sh", "-c", command], env=os.environ | variables, cwd=tmp_path,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == (28 if endless else 0), (command, done.stdout, done.stderr)
            if endless:
                assert "event: pointsman.order.accepted.v1" in done.stdout
            else:
                assert json.loads(done.stdout)
