"""What is told of a device's health, by itself, by its last will, and by its edge."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from shared.parts import Data, Moment, Name, Reference, Text

Status = Literal["online", "heartbeat", "lost", "fault", "cleared"]


class DeviceReported(Data, frozen=True):
    """A device is there, still there, gone, has a fault, or has it no longer.

    `lost` is for the last will that a device leaves with its broker, and for its farewell. Its
    edge logs changes only, with the fields that it fills.
    """

    kind: ClassVar[str] = "device.reported"

    status: Annotated[Status, Meta(description="What has become of it.")]
    part: Annotated[Name, Meta(description="The part that has the fault: printer.")] | None = None
    code: Annotated[Name, Meta(description="The fault. With cleared: without one, all.")] | None = (
        None
    )
    detail: Annotated[Text, Meta(description="For people; no name, number or address.")] = ""
    connection: (
        Annotated[
            Reference, Meta(description="In the birth and the last will of one connection alike.")
        ]
        | None
    ) = None
    node_id: Annotated[Name, Meta(description="In the birth: where the device is.")] | None = None
    device: Annotated[Name, Meta(description="By the edge: whose health it is.")] | None = None
    since: Annotated[Moment, Meta(description="By the edge: since when it is so.")] | None = None
    last_seen: (
        Annotated[Moment, Meta(description="By the edge: when it last heard the device.")] | None
    ) = None

    def __post_init__(self) -> None:
        """A fault needs a code."""
        if self.status == "fault" and self.code is None:
            raise ValueError("status fault needs a code")
