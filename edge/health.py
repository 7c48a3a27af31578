"""Who of a site's devices is there, lost, or has a fault; and what of it the log is to say. Pure.

A device takes part once it has reported something of its health. It is lost when its broker
publishes its last will, or when it has sent heartbeats and is silent; any message of it shows that
it is there. Only what differs from what the log said last is told, and of a device that goes up
and down only now and then: the last state wins.

Birth, last will and the number that ties them follow Sparkplug 3.0 (its bdSeq).
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from edge.commands import FromDevice, TellHealth
from edge.devices import Device, Told, news_of, state_of, with_fault, without_faults
from shared.devices import DeviceReported
from shared.errors import OverloadedError

DEVICES_MAX: Final = 2_000
TELL_MS: Final = 60_000
TELLINGS_MAX: Final = 5
"""A device is told of so often at once, then once per `TELL_MS`."""

ENTRIES_MAX: Final = 200
"""Log entries and rows per turn, so that a thousand lost devices hold up no till."""

UNACKED_MAX: Final = 10_000
"""Log entries about health that central has not taken; beyond it the last state waits in memory."""

SAVE_MS: Final = 30_000
"""When a device was last heard is written down so often."""

WATCH_MS_MAX: Final = 5_000
"""A longer gap between two looks is no silence of the devices: this process did not listen."""


_decoder: Final = msgspec.json.Decoder(Device)


class Health:
    """The devices of one edge.

    Args:
        rows: what the store has of them.
        unacked: log positions of what central may not have taken yet.
        silence_ms: a device that has sent heartbeats is lost after so long without a message.

    Attributes:
        listening: the site's broker is there; else silence means nothing.
        behind: messages wait that nobody has read, so neither does it then.
    """

    def __init__(self, rows: Iterable[str], unacked: Iterable[int], silence_ms: int) -> None:
        """See the class."""
        self.listening = False
        self.behind = False
        self._silence_ms = silence_ms
        self._known = {x.device: x for x in map(_decoder.decode, rows)}
        self._unacked = deque(unacked)
        self._changed = dict.fromkeys(self._known)  # what is not news is found out when it is told
        self._heard: set[str] = set()
        self._heard_ms: dict[str, int] = {}  # by the time that was watched
        self._watched_ms = 0
        self._looked_ms: int | None = None
        self._saved_ms = 0
        self._unsaved: set[str] = set()  # only `seen_ms` has moved
        self._dirty: dict[str, None] = {}
        self._next_ms: dict[str, int] = {}
        self._saving: list[str] = []
        self._telling: dict[str, Told | None] = {}

    def find(self, device: str) -> Device | None:
        """What is known of a device."""
        return self._known.get(device)

    # What is heard.

    def take(self, command: FromDevice, now_ms: int) -> bool:
        """Take note of a message; True: it was about health and nothing else.

        Raises:
            OverloadedError: too many devices, or too many faults of one.
        """
        data = command.data
        if isinstance(data, DeviceReported):
            self._report(command.device, command.event.id, data, now_ms)
            return True
        known = self._known.get(command.device)
        if known is not None:
            self._put(self._heard_now(known, command.event.id, now_ms))
        return False

    def _report(self, name: str, event_id: str, data: DeviceReported, now_ms: int) -> None:
        known = self._known.get(name)
        if data.status == "lost":
            if known is None:
                known = self._enrol(Device(name, True, now_ms, 0, event_id))
            # The broker may publish the will of a connection when the next one stands already.
            elif data.connection and known.connection not in ("", data.connection):
                return
            if known.up:
                known = replace(
                    known, up=False, since_ms=now_ms, cause=event_id, detail=data.detail
                )
            self._put(known)
            return
        if known is None:
            known = self._enrol(Device(name, True, now_ms, now_ms, event_id))
        device = self._heard_now(known, event_id, now_ms)
        match data.status:
            case "online":
                # What it still has it says again after its birth.
                device = replace(
                    device,
                    beats=False,
                    connection=data.connection or "",
                    node_id=data.node_id,
                    faults=[],
                )
            case "heartbeat":
                device = replace(device, beats=True)
            case "fault":
                device = replace(device, faults=with_fault(device, data, now_ms))
            case "cleared":
                device = replace(device, faults=without_faults(device, data))
        self._put(device)

    def _heard_now(self, device: Device, event_id: str, now_ms: int) -> Device:
        self._heard.add(device.device)
        self._unsaved.add(device.device)
        if device.up:
            return replace(device, seen_ms=now_ms, cause=event_id)
        return replace(device, up=True, since_ms=now_ms, seen_ms=now_ms, cause=event_id, detail="")

    def _put(self, device: Device) -> None:
        before = self._known.get(device.device)
        self._known[device.device] = device
        if before is None or state_of(before) != state_of(device):
            self._changed[device.device] = None
            self._dirty[device.device] = None

    def _enrol(self, device: Device) -> Device:
        """See that there is room for one more: who is lost longest makes it.

        Raises:
            OverloadedError: nobody is lost.
        """
        if len(self._known) >= DEVICES_MAX:
            lost = [x for x in self._known.values() if not x.up and not news_of(x)]
            if not lost:
                raise OverloadedError(
                    f"{DEVICES_MAX} devices report to this edge already",
                    place="topic",
                    expected="fewer devices at one edge",
                )
            gone = min(lost, key=lambda x: x.since_ms).device
            del self._known[gone]
            for kept in (self._changed, self._heard_ms, self._next_ms):
                kept.pop(gone, None)
            self._heard.discard(gone)
            self._unsaved.discard(gone)
            self._dirty[gone] = None
        return device

    # Silence.

    def listen(self) -> None:
        """The site's broker is there: devices have all their time to be heard again."""
        self.listening = True
        self._heard.update(self._known)

    def deafen(self) -> None:
        """The site's broker is gone."""
        self.listening = False

    def look(self, now_ms: int, elapsed_ms: int) -> None:
        """See who is silent. Call it about once a second."""
        gap = 0 if self._looked_ms is None else elapsed_ms - self._looked_ms
        self._looked_ms = elapsed_ms
        if self.listening and not self.behind:
            self._watched_ms += min(gap, WATCH_MS_MAX)
        self._heard_ms.update(dict.fromkeys(self._heard, self._watched_ms))
        self._heard.clear()
        for device in list(self._known.values()):
            silent_ms = self._watched_ms - self._heard_ms.get(device.device, 0)
            if device.up and device.beats and silent_ms > self._silence_ms:
                detail = f"silent for {self._silence_ms // 1000} s"
                self._put(replace(device, up=False, since_ms=now_ms, detail=detail))
        if elapsed_ms - self._saved_ms >= SAVE_MS:
            self._saved_ms = elapsed_ms
            self._dirty.update(dict.fromkeys(sorted(self._unsaved)))
            self._unsaved.clear()

    # What is told.

    def due(self, elapsed_ms: int, acked: int) -> TellHealth | None:
        """What the log is to say now, and what the store is to keep, if anything.

        Follow it by `logged`, and then by `settled` or `undone`.
        """
        room = min(ENTRIES_MAX, UNACKED_MAX - self.unacked(acked))
        reports: list[tuple[str, DeviceReported]] = []
        for name in list(self._changed):
            device = self._known[name]
            news = news_of(device)
            if len(news) > room - len(reports):
                break
            if news and not self._may_tell(name, elapsed_ms):
                continue
            del self._changed[name]
            if news:
                reports += [(device.cause, report) for report in news]
                self._telling[name] = device.told
                self._known[name] = replace(device, told=Told(device.up, device.faults))
                self._dirty[name] = None
        self._saving = list(self._dirty)[:ENTRIES_MAX]
        for name in self._saving:
            del self._dirty[name]
        if not reports and not self._saving:
            return None
        return TellHealth(reports, [(name, self._row(name)) for name in self._saving])

    def logged(self, positions: Iterable[int]) -> None:
        """Where in the log it stands."""
        self._unacked.extend(positions)

    def settled(self) -> None:
        """It is durable."""
        self._saving.clear()
        self._telling.clear()

    def undone(self, durable: int) -> None:
        """It is not; the log ends at `durable`. What was heard is still so, and told later."""
        while self._unacked and self._unacked[-1] > durable:
            self._unacked.pop()
        self._dirty.update(dict.fromkeys(self._saving))
        for name, told in self._telling.items():
            if name in self._known:
                self._known[name] = replace(self._known[name], told=told)
                self._changed[name] = None
        self.settled()

    def unacked(self, acked: int) -> int:
        """How many entries about health central has not taken, if it has all through `acked`."""
        while self._unacked and self._unacked[0] <= acked:
            self._unacked.popleft()
        return len(self._unacked)

    def retell(self) -> None:
        """A new epoch has begun: what the log said before counts no more."""
        self._next_ms.clear()
        for name, device in self._known.items():
            self._known[name] = replace(device, told=None)
            self._changed[name] = None

    def _may_tell(self, name: str, elapsed_ms: int) -> bool:
        # The generic cell rate algorithm (ITU-T I.371): one moment per device is all its memory.
        next_ms = max(self._next_ms.get(name, 0), elapsed_ms)
        if next_ms - elapsed_ms > (TELLINGS_MAX - 1) * TELL_MS:
            return False
        self._next_ms[name] = next_ms + TELL_MS
        return True

    def _row(self, name: str) -> str | None:
        device = self._known.get(name)
        return None if device is None else msgspec.json.encode(device).decode()
