"""The systems that central drives, as its configuration names them. Pure."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from central.desk import OrderState
from shared.limits import SYSTEMS_MAX, WORDS_MAX
from shared.parts import Name
from shared.settings import Section
from shared.systems import Step, Word
from shared.topics import RESERVED

Role = Literal["erp", "sms", "wms", "other"]

ONE_OF: Final = ("erp", "sms")
"""Roles that get commands: one system each."""

Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=30 * 24 * 3_600)]
States: TypeAlias = Annotated[list[OrderState], Meta(min_length=1, max_length=16)]


class System(Section, frozen=True):
    """A system that speaks to central.

    Attributes:
        name: its name in topics and events, its user at central's broker.
        role: what it is told. "erp": inventory locks; "sms": payment confirmations; "wms": nothing,
            but pick tasks are expected to be answered; "other": nothing.
        states: its words for an order's state, each with the state, or states, of ours that it
            agrees with.
    """

    name: Name
    role: Role = "other"
    states: Annotated[dict[Word, OrderState | States], Meta(max_length=WORDS_MAX)] = {}

    def __post_init__(self) -> None:
        """Central's own names are taken."""
        if self.name in RESERVED:
            raise ValueError(f"no system may be called {self.name}: central itself is")

    def words(self) -> dict[str, tuple[OrderState, ...]]:
        """Each word with the states that it agrees with."""
        return {
            word: (states,) if isinstance(states, str) else tuple(states)
            for word, states in self.states.items()
        }


class TimeLimits(Section, frozen=True):
    """How long an answer may stay out."""

    lock_s: Seconds = 300
    confirmation_s: Seconds = 300
    pick_acceptance_s: Seconds = 900


class Systems(Struct, frozen=True, dict=True):
    """All of them, and how long each has to answer."""

    systems: Annotated[list[System], Meta(max_length=SYSTEMS_MAX)] = []
    limits: TimeLimits = TimeLimits()

    @cached_property
    def by_name(self) -> dict[str, System]:
        """Name to system."""
        return {system.name: system for system in self.systems}

    @cached_property
    def words(self) -> dict[str, dict[str, tuple[OrderState, ...]]]:
        """Name of a system to its words, see `System.words`; without those that have none."""
        return {system.name: system.words() for system in self.systems if system.states}

    @cached_property
    def limits_ms(self) -> dict[Step, int]:
        """How long each step may take. Pick tasks are watched if there is a WMS."""
        found: dict[Step, int] = {
            "lock": self.limits.lock_s * 1_000,
            "confirmation": self.limits.confirmation_s * 1_000,
        }
        if any(system.role == "wms" for system in self.systems):
            found["pick_acceptance"] = self.limits.pick_acceptance_s * 1_000
        return found

    def of_role(self, role: Role) -> str | None:
        """The name of the system that has a role; None: there is none."""
        return next((system.name for system in self.systems if system.role == role), None)


def namesake(systems: Systems, edge_ids: Iterable[str]) -> str | None:
    """A system that has an edge's name, the first: what that edge says would be taken as its."""
    return min(systems.by_name.keys() & set(edge_ids), default=None)


def require_distinct(systems: list[System]) -> None:
    """See that names, and roles that get commands, stand once.

    Raises:
        ValueError: one stands twice.
    """
    names = [system.name for system in systems]
    roles: list[str] = [system.role for system in systems if system.role in ONE_OF]
    for found, what in ((names, "name"), (roles, "role")):
        twice = {x for x in found if found.count(x) > 1}
        if twice:
            raise ValueError(f"two systems have the {what} {min(twice)!r}")
