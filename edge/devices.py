"""What is known of a device, and in which words the log says it. Pure."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.clock import to_datetime
from shared.devices import DeviceReported, Status
from shared.errors import OverloadedError

FAULTS_MAX: Final = 16
"""Of one device at a time."""


class Fault(Struct, frozen=True):
    """A fault that lasts; `part` is empty where it is the device's own."""

    part: str
    code: str
    detail: str
    since_ms: int


class Told(Struct, frozen=True):
    """What the log said last of a device."""

    up: bool
    faults: list[Fault]


class Device(Struct, frozen=True):
    """What is known of a device; times in milliseconds since 1970 UTC.

    Attributes:
        since_ms: since when it is up, or down.
        seen_ms: when it was last heard; 0: never.
        cause: id of the last event of it that says so.
        beats: it sends heartbeats, so silence means something.
        connection: what its birth named the connection.
        detail: why it is lost.
        told: None where the log has not said anything of it in this epoch.
    """

    device: str
    up: bool
    since_ms: int
    seen_ms: int
    cause: str
    beats: bool = False
    connection: str = ""
    node_id: str | None = None
    detail: str = ""
    faults: list[Fault] = []
    told: Told | None = None


def state_of(device: Device) -> tuple[object, ...]:
    """What is worth a write at once: all but when it was heard, and by which message."""
    return device.up, device.beats, device.connection, device.node_id, device.faults


def news_of(device: Device) -> list[DeviceReported]:
    """What the log has not said of a device."""
    told = device.told
    seen = to_datetime(device.seen_ms) if device.seen_ms else None
    base = DeviceReported(
        status="online", device=device.device, node_id=device.node_id, last_seen=seen
    )
    found = []
    if told is None or told.up != device.up:
        found.append(
            replace(
                base,
                status="online" if device.up else "lost",
                detail=device.detail,
                since=to_datetime(device.since_ms),
            )
        )
    before = {(x.part, x.code): x.detail for x in told.faults} if told else {}
    for fault in device.faults:
        if before.pop((fault.part, fault.code), None) != fault.detail:
            since = to_datetime(fault.since_ms)
            found.append(_about(base, "fault", fault.part, fault.code, fault.detail, since))
    found += [_about(base, "cleared", part, code) for part, code in before]
    return found


def _about(
    base: DeviceReported,
    status: Status,
    part: str,
    code: str,
    detail: str = "",
    since: datetime | None = None,
) -> DeviceReported:
    return replace(base, status=status, part=part or None, code=code, detail=detail, since=since)


def with_fault(device: Device, data: DeviceReported, now_ms: int) -> list[Fault]:
    """The faults with another one; one that is known keeps its time.

    Raises:
        OverloadedError: too many.
    """
    part, code, detail = data.part or "", data.code or "", data.detail
    for place, known in enumerate(device.faults):
        if (known.part, known.code) == (part, code):
            kept = list(device.faults)
            kept[place] = replace(known, detail=detail)
            return kept
    if len(device.faults) >= FAULTS_MAX:
        raise OverloadedError(
            f"{device.device!r} has {FAULTS_MAX} faults already",
            place="$.data.code",
            expected="status cleared for what is over",
        )
    return [*device.faults, Fault(part, code, detail, now_ms)]


def without_faults(device: Device, data: DeviceReported) -> list[Fault]:
    """The faults without those that are over: one, all of a part, or all."""
    every = data.part is None and data.code is None
    return [
        x
        for x in device.faults
        if not every
        and (x.part != (data.part or "") or (data.code is not None and x.code != data.code))
    ]
