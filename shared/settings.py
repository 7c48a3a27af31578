"""Configuration files: TOML, every key typed and bounded, relative paths from the file's folder."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from shared.clock import Clock, ScaledClock, SystemClock
from shared.errors import ConfigError, split_error


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration file."""


class Broker(Section, frozen=True):
    """Where an MQTT broker listens, and how to log in.

    `mqtt_version` "3.1.1" is for brokers that know no other; content types and session
    expiry need "5".
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    mqtt_version: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password_file: Path | None = None

    def password(self) -> str | None:
        """The password, read from its file each time; None without one.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the password file cannot be read: {error}",
                place="password_file",
                expected="a UTF-8 file with the password alone, readable by this user",
            ) from None


class SimulatedClock(Section, frozen=True):
    """Simulated time, for the demo: see `shared.clock.ScaledClock`."""

    real_ms: int
    simulated_ms: int
    rate: Annotated[float, Meta(gt=0)]


def make_clock(section: SimulatedClock | None) -> Clock:
    """The clock that a daemon stamps and decides with: the machine's, unless told otherwise."""
    if section is None:
        return SystemClock()
    return ScaledClock(section.real_ms, section.simulated_ms, section.rate)


S = TypeVar("S", bound=Section)


def load_settings(path: Path, kind: type[S]) -> S:
    """Read a configuration file.

    Raises:
        ConfigError: the file is missing or wrong; it names the key and what was expected.
    """
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the configuration cannot be read: {error}",
            place=str(path),
            expected="a TOML file; deploy/config holds samples",
        ) from None
    directory = path.resolve().parent

    def to_path(wanted: type, value: Any) -> Any:
        if wanted is Path and isinstance(value, str):
            return directory / value
        raise ValueError(f"Expected `{wanted.__name__}`, got `{type(value).__name__}`")

    try:
        return msgspec.toml.decode(document, type=kind, dec_hook=to_path)
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise ConfigError(
            detail,
            place=f"{path}: {place}",
            expected="the keys " + ", ".join(kind.__struct_fields__),
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"not TOML: {error}", place=str(path), expected="a TOML file") from None
