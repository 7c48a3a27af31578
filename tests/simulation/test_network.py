"""The fake network does to messages what it was asked to, and nothing else."""

from random import Random

from deploy.sim.agenda import Agenda
from deploy.sim.network import Line
from deploy.sim.scenario import Weather

CALM = {"drop": 0.0, "double": 0.0, "reorder": 0.0, "slow": 0.0}


def line_of(seed=1, **bad):
    agenda, heard = Agenda(), []
    weather = Weather(**(CALM | bad), accidents={}, calm_ms=1_000)
    line = Line(agenda, Random(seed), weather, "line", heard.extend)
    return agenda, line, heard


def send_all(agenda, line, count=200):
    for number in range(count):
        line.send([number])
    while line.under_way:
        agenda.step()


def test_a_calm_line_delivers_everything_once_and_in_order():
    agenda, line, heard = line_of()
    send_all(agenda, line)
    assert heard == list(range(200))
    assert line.lost == 0


def test_dropped_messages_are_counted_and_never_arrive():
    agenda, line, heard = line_of(drop=0.3)
    send_all(agenda, line)
    assert 20 < line.lost < 120
    assert len(heard) == 200 - line.lost
    assert heard == sorted(heard)


def test_doubled_messages_arrive_twice():
    agenda, line, heard = line_of(double=0.3)
    send_all(agenda, line)
    assert set(heard) == set(range(200))
    assert len(heard) > 220


def test_held_up_messages_are_overtaken():
    agenda, line, heard = line_of(reorder=0.3)
    send_all(agenda, line)
    assert sorted(heard) == list(range(200))
    assert heard != sorted(heard)


def test_a_cut_line_loses_what_is_sent_and_what_is_under_way():
    agenda, line, heard = line_of()
    line.send(["under way"])
    line.cut = True
    line.send(["sent"])
    agenda.step()
    assert heard == []
    assert line.lost == 2


def test_a_broker_that_forgets_loses_what_is_under_way_only():
    agenda, line, heard = line_of()
    line.send(["before"])
    line.forget()
    line.send(["after"])
    agenda.step()
    agenda.step()
    assert heard == ["after"]


def test_a_line_is_the_same_again_with_the_same_seed():
    runs = []
    for _ in range(2):
        agenda, line, heard = line_of(seed=9, drop=0.2, double=0.2, reorder=0.2, slow=0.1)
        send_all(agenda, line)
        runs.append((heard, agenda.trace()))
    assert runs[0] == runs[1]
