"""How a process takes over a store: whose it is, whether it may sell, who the process is."""

from typing import Final

import msgspec

from edge.generation import Generation, unfit
from edge.store import Store
from shared.errors import ConfigError
from shared.frames import BOOTS_MAX

BARRED: Final = Generation(inode=0, position=0, feed=0, epoch=0)


def start(
    store: Store, edge_id: str, kept: Generation | None, inode: int, boot: str, now_ms: int
) -> tuple[list[str], Generation | None]:
    """Check a store and write the process's name into it.

    Args:
        store: just opened; committed here.
        edge_id: whose it must be.
        kept: what was remembered of it outside.
        inode: identity of its file.
        boot: a new random name, see `shared.frames.Hello`.
        now_ms: milliseconds since 1970 UTC.

    Returns:
        The names of this process and of those that central may know; and what is to be
        remembered outside now, if anything.

    Raises:
        ConfigError: the store is another edge's.
        StorageError: the disk does not take it.
    """
    store.forget_past(now_ms)
    owner = store.meta("edge_id", edge_id)
    if owner != edge_id:
        raise ConfigError(
            f"the store is that of edge {owner!r}, not of {edge_id!r}",
            place="data_dir",
            expected="the edge's own data folder: its log and its shares belong to it alone",
        )
    store.set_meta("edge_id", owner)
    known = msgspec.json.decode(store.meta("boots", "[]"), type=list[str])
    boots = [*known[:1], *known[1:][-(BOOTS_MAX - 2) :], boot]
    store.set_meta("boots", msgspec.json.encode(boots).decode())
    found = generation_of(store, inode)
    reason = unfit(kept, found)
    if reason and not store.meta("unfit"):
        store.set_meta("unfit", reason)
    store.commit()
    if not store.meta("unfit"):
        return boots, found
    # Without any mark, leave one that only a store of a later epoch passes.
    barred = msgspec.structs.replace(BARRED, epoch=found.epoch)
    return boots, barred if kept is None else None


def generation_of(store: Store, inode: int) -> Generation:
    """How far a store has come."""
    return Generation(
        inode=inode,
        position=store.durable,
        feed=int(store.meta("feed", "0")),
        epoch=store.epochs()[-1][0],
    )
