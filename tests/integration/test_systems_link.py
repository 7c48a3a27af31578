"""Central as a daemon, and an ERP, over a real broker that forgets everything."""

import asyncio

import msgspec

from central.agreement import read_agreement
from central.ledger import Verdict, verify_file
from central.systems import System
from shared.envelope import decode_data
from shared.systems import InventoryLocked, StatusReported
from tests.brokers import running
from tests.central_scene import NOW, NOW_MS, accepted, document, plan, received
from tests.integration.test_central_link import config_for, publish_network, serving, wired
from tests.system_scene import ScriptedSystem

ERP = System(name="erp", role="erp", states={"OPEN": "planned", "DONE": "delivered"})


async def test_a_command_survives_its_broker_and_is_answered_over_the_wire(tmp_path):
    with running("embedded", tmp_path / "wan") as broker:
        config = msgspec.structs.replace(config_for(broker, tmp_path), systems=[ERP])
        erp = ScriptedSystem("erp")
        async with serving(config):
            async with wired(config, "e1") as edge:
                await edge.hello_until(lambda: edge.acked() == 0)
                await publish_network(config, document())
                edge.say(received("dc", A=10))
                edge.say(accepted("o", plan("dc", "A", 1)), "o")
                await edge.send(edge.batch())
                await edge.until(lambda: edge.acked() == 2)
            # Nobody has read the command, and the broker loses it.
            await asyncio.to_thread(broker.restart, wipe=True)
            async with wired(config, "erp") as line:
                await line.until(lambda: erp.read(line.heard))
                (command,) = erp.commands().values()

                def told(kind, times=1):
                    found = [decode_data(x).kind for x in erp.read(line.heard)]
                    return found.count(kind) >= times

                await line.send(erp.say(InventoryLocked(order_id="o"), command.id))
                await line.until(lambda: told("report.recorded"))
                await line.send(erp.say(StatusReported(order_id="o", state="DONE", at=NOW)))
                await line.until(lambda: told("report.recorded", 2))
                await line.send(erp.say(StatusReported(order_id="p", state="1234567", at=NOW)))
                await line.until(lambda: told("input.rejected"))
        assert verify_file(config.data_dir) == Verdict(5)
        rate, difference = read_agreement(config.location, config.driven.words)
        assert rate == ("erp", 1, 1, 0)
        assert difference[:3] == ("o", "DONE", "planned")
        assert difference.since_ms >= NOW_MS
