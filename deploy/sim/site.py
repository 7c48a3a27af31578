"""A site's broker, and the devices on it: keeps what the edge has not acknowledged."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from deploy.sim.agenda import Agenda
from deploy.sim.network import LAN_MS, Line
from edge.intake import Message
from edge.records import Send
from shared.events import InputRejected
from shared.topics import parse_up

Hear = Callable[[str, bytes], None]
"""What a device does with a kind and a payload."""


class _Down(NamedTuple):
    send: Send
    age: int


class Site:
    """The local network of one edge.

    A till sends again what got no answer, so its messages may be forgotten. A warehouse's
    reports get no answer; its client keeps them until a broker and its disk have them.

    Attributes:
        unacked: messages that the edge has not acknowledged, by number, oldest first.
        on_message: called when there is a message for the edge.
    """

    def __init__(self, agenda: Agenda, random: Random, edge_id: str) -> None:
        """See the class."""
        self.unacked: dict[int, Message] = {}
        self.on_message: Callable[[Message], None] = lambda _: None
        self.devices: dict[str, Hear] = {}
        self.tills: set[str] = set()
        self._up = Line(agenda, random, None, f"{edge_id} lan up", self._arrive, LAN_MS)
        self._down = Line(agenda, random, None, f"{edge_id} lan down", self._tell, LAN_MS)
        self._mid = 0
        self._age = 0

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self.unacked) or self._up.under_way + self._down.under_way > 0

    def publish(self, topic: str, payload: bytes) -> None:
        """A device publishes."""
        self._mid += 1
        self._up.send([Message(topic, payload, len(payload), self._mid)])

    def acknowledge(self, message: Message) -> None:
        """The edge has a message, for good."""
        self.unacked.pop(message.mid, None)

    def say(self, sends: list[Send]) -> None:
        """The edge publishes to devices."""
        if sends:
            self._down.send([_Down(send, self._age) for send in sends])

    def forget(self) -> None:
        """The broker has lost its disk, and with it what was on its way."""
        self._age += 1
        self.unacked = {
            mid: message for mid, message in self.unacked.items() if not self._is_till(message)
        }

    def _is_till(self, message: Message) -> bool:
        device, _ = parse_up(message.topic)
        return device in self.tills

    def _arrive(self, messages: list[object]) -> None:
        for message in messages:
            assert isinstance(message, Message)
            self.unacked[message.mid] = message
            self.on_message(message)

    def _tell(self, messages: list[object]) -> None:
        for message in messages:
            assert isinstance(message, _Down)
            send = message.send
            told = send.kind == InputRejected.kind and send.device not in self.tills
            if message.age != self._age and not told:
                continue
            hear = self.devices.get(send.device)
            if hear is not None:
                hear(send.kind, send.payload)
