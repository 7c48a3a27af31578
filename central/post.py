"""What goes out to systems: commands until they are answered, contacts beside them, replies.

A command is in the ledger before it is sent. Contacts are read from the vault when they are sent,
which the vault records, and are kept nowhere else.
"""

from typing import Final

import structlog

from central import answers, correspondence
from central.admin import Message
from central.burst import Burst, Outcome
from central.correspondence import Letter
from central.courier import Courier, Lane
from central.database import Database, transaction
from central.sealing import Keyring
from central.systems import Systems
from central.vault import Vault
from shared import topics
from shared.errors import PointsmanError, StorageError
from shared.frames import ContactFor, encode_frame
from shared.parts import Contact

HANDED_MAX: Final = 100_000
"""Orders whose contact was handed over, as far as this process remembers."""

_log = structlog.get_logger("central.post")


class Post:
    """The outgoing post of one process.

    Attributes:
        now_ms: wall time, for stamps.

    Args:
        connection: central's.
        keyring: of the vault.
        systems: whom central drives.
    """

    def __init__(self, connection: Database, keyring: Keyring, systems: Systems) -> None:
        """See the class; `remember` comes first."""
        self.now_ms = 0
        self._connection = connection
        self._keyring = keyring
        self._systems = systems
        self._couriers = {system.name: Courier(0) for system in systems.systems}
        self._handed: dict[str, None] = {}

    def remember(self) -> None:
        """Read which commands are open. Inside a transaction."""
        last = correspondence.last_unanswered(self._connection) if self._couriers else {}
        for system in last.keys() & self._couriers.keys():
            self._couriers[system].commanded(last[system])

    def start_over(self) -> None:
        """The connection to the broker is new."""
        for courier in self._couriers.values():
            courier.start_over()

    def reject(self, message: Message, error: PointsmanError) -> list[Message]:
        """A system is told what is wrong with a message; an edge is not: it misses its ack."""
        system = message.topic.removeprefix(f"{topics.ROOT}/").partition("/")[0]
        if system not in self._couriers:
            return []
        return [answers.message(answers.rejection(system, message, error), self.now_ms)]

    def after(self, said: Burst, outcome: Outcome) -> list[Message]:
        """What goes out after a burst besides commands: replies, contacts that came late."""
        out = [answers.message(reply, self.now_ms) for reply in outcome.replies]
        # Those of commands that go out next go with them.
        return out + self._late_contacts({x.order_id for _, got in said.contacts for x in got})

    def note(self, outcome: Outcome) -> None:
        """Note what was made durable."""
        for system, sequence in outcome.commanded.items():
            if system in self._couriers:
                self._couriers[system].commanded(sequence)
        for system, command_id in outcome.closed:
            if system in self._couriers:
                self._couriers[system].answered(command_id)
        for reply in outcome.replies:
            self._couriers[reply.system].hear()

    def send(self, elapsed_ms: int) -> list[Message]:
        """The commands that are due, with the contacts that belong to them."""
        out = []
        for system, courier in self._couriers.items():
            for lane in courier.lane_due(elapsed_ms):
                try:
                    out += self._send_lane(system, courier, lane, elapsed_ms)
                except StorageError as error:
                    _log.error("commands_not_read", system=system, detail=str(error))
        return out

    def _late_contacts(self, order_ids: set[str]) -> list[Message]:
        """Contacts that came after the command that they belong to was sent."""
        system = self._systems.of_role("sms")
        if system is None or not order_ids:
            return []
        courier = self._couriers[system]
        try:
            with transaction(self._connection) as connection:
                found = correspondence.open_of_orders(connection, order_ids, "confirmation")
                sent = {x for x, of, at in found if of == system and at <= courier.fresh.cursor}
                contacts = self._contacts(system, sent)
        except StorageError as error:
            _log.error("contacts_not_read", system=system, detail=str(error))
            return []
        return self._handed_over(system, contacts)

    def _send_lane(
        self, system: str, courier: Courier, lane: Lane, elapsed_ms: int
    ) -> list[Message]:
        room = lane.room(elapsed_ms)
        with transaction(self._connection) as connection:
            letters = correspondence.unanswered(connection, system, lane.cursor, room)
            told = {x.order_id for x in letters if x.step == "confirmation"}
            contacts = self._contacts(system, told)
        places = [(letter.sequence, letter.command_id) for letter in letters]
        carried = set(courier.send(lane, places, room, elapsed_ms))
        letters = [x for x in letters if (x.sequence, x.command_id) in carried]
        handed = self._handed_over(system, contacts)
        return [*handed, *(_message(system, letter) for letter in letters)]

    def _contacts(self, system: str, order_ids: set[str]) -> dict[str, Contact]:
        vault = Vault(self._connection, self._keyring, self.now_ms)
        return vault.hand_over(order_ids, f"system {system}", self._handed.keys())

    def _handed_over(self, system: str, contacts: dict[str, Contact]) -> list[Message]:
        """Contacts whose hand-over is on record now."""
        self._handed |= dict.fromkeys(contacts)
        while len(self._handed) > HANDED_MAX:
            del self._handed[next(iter(self._handed))]
        topic = topics.down(system, topics.CONTACT)
        return [
            Message(topic, encode_frame(ContactFor(order_id=order_id, contact=contact)))
            for order_id, contact in contacts.items()
        ]


def _message(system: str, letter: Letter) -> Message:
    kind = letter.type.removeprefix("pointsman.").removesuffix(".v1")
    return Message(topics.down(system, kind), letter.raw)
