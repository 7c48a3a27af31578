"""The vault in SQL: contacts sealed, keys wrapped, what is forgotten, who has looked.

A wrapped key stands in one place. Rows of `vault_keys` are only appended and overwritten by others
of the same length, so SQLite never moves them; with `secure_delete` (see `central.database`) no
page keeps a copy. To forget is to overwrite the key: what it has sealed, in free pages or in the
write-ahead log, opens for nobody. A backup made before holds the key too, wrapped: it opens as
long as its master key is kept.
"""

import contextlib
from collections.abc import Container, Iterable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    column,
    delete,
    insert,
    inspect,
    select,
    table,
    update,
)

from central import past
from central.database import (
    Database,
    Location,
    chunks,
    compact,
    insert_all,
    reading,
    rows_in,
    transaction,
    upsert,
    wipe_log,
)
from central.desk import Misfit
from central.past import Buyer
from central.sealing import DESTROYED, Keyring, UnreadableError
from central.tables import accesses, forgotten, vault, vault_keys
from shared.errors import ConfigError, PointsmanError
from shared.frames import ContactFor, decode_frame
from shared.parts import Contact

_values: Final[BindParameter[Any]] = bindparam("values", expanding=True)
_SEALED: Final = select(vault, vault_keys.c.subject, vault_keys.c.wrapped).join(vault_keys)
_SEALED_OF_ORDER: Final = _SEALED.where(vault.c.order_id.in_(_values))
_SEALED_BY_KEY: Final = _SEALED.where(vault.c.key.in_(_values))
_LIVE: Final = select(vault_keys).where(vault_keys.c.wrapped != DESTROYED)
_LIVE_OF_SUBJECT: Final = _LIVE.where(vault_keys.c.subject.in_(_values))
_FORGOTTEN: Final = select(forgotten).where(forgotten.c.subject.in_(_values))
_NEW_KEY: Final = insert(vault_keys).returning(vault_keys.c.number, vault_keys.c.subject)
_WRAP: Final = (
    update(vault_keys).where(vault_keys.c.number == bindparam("of")).values(wrapped=bindparam("by"))
)

# Of schema versions before 4.
_PLAIN: Final = table("contacts", column("order_id"), column("body"))


class NoContactError(PointsmanError):
    """The vault holds no contact of this order."""

    code: ClassVar[str] = "no_contact"


class Access(NamedTuple):
    """Somebody has read a contact, or let contacts be forgotten.

    Attributes:
        at_ms: when; milliseconds since 1970 UTC.
        by: who, as they have called themselves.
        what: "read" or "forget".
        subject: see `of_order`, `of_customer`.
        contacts: how many were read or destroyed.
    """

    number: int
    at_ms: int
    by: str
    what: str
    subject: str
    contacts: int


class _Key(NamedTuple):
    number: int
    bytes: bytes


def of_order(order_id: str) -> str:
    """The subject of an order's own key: its customer is not known, or has no token."""
    return f"order:{order_id}"


def of_customer(token: str) -> str:
    """The subject of a customer's key."""
    return f"customer:{token}"


class Vault:
    """The vault within one transaction.

    Args:
        connection: inside a transaction.
        keyring: the master keys.
        now_ms: wall time.
    """

    def __init__(self, connection: Connection, keyring: Keyring, now_ms: int) -> None:
        """See the class."""
        self._connection = connection
        self._keyring = keyring
        self._now_ms = now_ms

    def keep(self, received: Iterable[ContactFor]) -> None:
        """Seal contacts. The same order again overwrites; what was forgotten is not kept."""
        latest = {x.order_id: x.contact for x in received}
        self._place(latest, past.buyers(self._connection, set(latest)))

    def claim(self, order_ids: set[str]) -> list[Misfit]:
        """Orders were accepted: contacts that came before get their customers' keys.

        Args:
            order_ids: whose `order.accepted` is in the ledger now.

        Returns:
            What should not be: contacts that do not open. They stay as they are.
        """
        contacts: dict[str, Contact] = {}
        misfits = []
        for row in rows_in(self._connection, _SEALED_OF_ORDER, order_ids):
            if row.subject == of_order(row.order_id):
                try:
                    contacts[row.order_id] = self._open(row)
                except UnreadableError as error:
                    misfits.append(Misfit("contact_unreadable", str(error), row.order_id))
        buyers = past.buyers(self._connection, set(contacts))
        known = {x: buyer for x, buyer in buyers.items() if buyer.customer is not None}
        self._place({order_id: contacts[order_id] for order_id in known}, known)
        return misfits

    def read(self, order_id: str, by: str) -> Contact:
        """The contact of an order, for a person; that they have read it is recorded.

        Raises:
            NoContactError: there is none.
            UnreadableError: it was changed in the database.
        """
        subject = of_order(order_id)
        row = next(iter(rows_in(self._connection, _SEALED_OF_ORDER, {order_id})), None)
        if row is None:
            raise NoContactError(
                f"no contact of order {order_id} is kept",
                place="$.order_id",
                expected="an order that has one, and was not forgotten",
            )
        contact = self._open(row)
        self._record(by, "read", subject, 1)
        return contact

    def hand_over(self, order_ids: set[str], by: str, known: Container[str]) -> dict[str, Contact]:
        """The contacts of these orders, for a system; that it gets them is recorded.

        Args:
            order_ids: whose; those that have none are left out, and those that do not open.
            by: the system.
            known: orders whose hand-over was recorded before.
        """
        found: dict[str, Contact] = {}
        for row in rows_in(self._connection, _SEALED_OF_ORDER, order_ids):
            with contextlib.suppress(UnreadableError):
                found[row.order_id] = self._open(row)
                if row.order_id not in known:
                    self._record(by, "read", of_order(row.order_id), 1)
        return found

    def forget_customer(self, token: str, by: str) -> int:
        """Destroy what is kept of a customer, and refuse what still comes of payments until now.

        Returns:
            How many contacts there were.
        """
        subject = of_customer(token)
        keys = {x.number for x in rows_in(self._connection, _LIVE_OF_SUBJECT, {subject})}
        rows = list(rows_in(self._connection, _SEALED_BY_KEY, keys))
        self._drop({row.order_id for row in rows})
        self._destroy(keys)
        self._bury(subject, by, len(rows))
        return len(rows)

    def forget_order(self, order_id: str, by: str) -> int:
        """Destroy what is kept of an order, and refuse what still comes of it.

        The customer's other contacts get another key, since the old one has to go.

        Returns:
            How many contacts there were: one or none.

        Raises:
            UnreadableError: one of those others was changed in the database.
        """
        rows = list(rows_in(self._connection, _SEALED_OF_ORDER, {order_id}))
        for row in rows:
            beside = rows_in(self._connection, _SEALED_BY_KEY, {row.key})
            others = {x.order_id: self._open(x) for x in beside if x.order_id != order_id}
            self._drop({order_id})
            self._destroy({row.key})
            if others:
                self._seal(others, dict.fromkeys(others, row.subject))
        self._bury(of_order(order_id), by, len(rows))
        return len(rows)

    def _open(self, row: Any) -> Contact:
        key = self._keyring.unwrap(row.wrapped, row.subject)
        return self._keyring.unseal(key, row.order_id, row.sealed)

    def _place(self, contacts: Mapping[str, Contact], buyers: Mapping[str, Buyer]) -> None:
        """Seal contacts by their customers' keys, as far as these are known; else by their own."""
        if not contacts:
            return
        subjects = {x: _subject(x, buyers.get(x)) for x in contacts}
        gone = self._forgotten(contacts, subjects, buyers)
        before = list(rows_in(self._connection, _SEALED_OF_ORDER, set(contacts)))
        self._drop({row.order_id for row in before if row.order_id in gone})
        self._seal({x: contacts[x] for x in contacts if x not in gone}, subjects)
        left = {
            row.key
            for row in before
            if row.subject == of_order(row.order_id)
            and (row.order_id in gone or subjects[row.order_id] != row.subject)
        }
        self._destroy(left)

    def _forgotten(
        self,
        order_ids: Iterable[str],
        subjects: Mapping[str, str],
        buyers: Mapping[str, Buyer],
    ) -> set[str]:
        asked = {*subjects.values(), *map(of_order, order_ids)}
        since = {x.subject: x.at_ms for x in rows_in(self._connection, _FORGOTTEN, asked)}
        return {
            order_id
            for order_id in order_ids
            if of_order(order_id) in since
            # What they buy later is another matter.
            or (
                order_id in buyers and buyers[order_id].paid_ms <= since.get(subjects[order_id], -1)
            )
        }

    def _seal(self, contacts: Mapping[str, Contact], subjects: Mapping[str, str]) -> None:
        keys = self._keys({subjects[order_id] for order_id in contacts})
        rows = []
        for order_id, contact in contacts.items():
            key = keys[subjects[order_id]]
            sealed = self._keyring.seal(key.bytes, order_id, contact)
            rows.append({"order_id": order_id, "key": key.number, "sealed": sealed})
        upsert(self._connection, vault, rows)

    def _keys(self, subjects: set[str]) -> dict[str, _Key]:
        """The keys of these subjects, made where there are none."""
        keys = {
            row.subject: _Key(row.number, self._keyring.unwrap(row.wrapped, row.subject))
            for row in rows_in(self._connection, _LIVE_OF_SUBJECT, subjects)
        }
        new = {x: self._keyring.new_key() for x in sorted(subjects - keys.keys())}
        if new:
            rows = [{"subject": x, "wrapped": self._keyring.wrap(new[x], x)} for x in new]
            for number, subject in self._connection.execute(_NEW_KEY, rows):
                keys[subject] = _Key(number, new[subject])
        return keys

    def _drop(self, order_ids: set[str]) -> None:
        for part in chunks(sorted(order_ids)):
            self._connection.execute(delete(vault).where(vault.c.order_id.in_(part)))

    def _destroy(self, keys: set[int]) -> None:
        if keys:
            self._connection.execute(_WRAP, [{"of": x, "by": DESTROYED} for x in sorted(keys)])

    def _bury(self, subject: str, by: str, contacts: int) -> None:
        upsert(self._connection, forgotten, [{"subject": subject, "at_ms": self._now_ms}])
        self._record(by, "forget", subject, contacts)

    def _record(self, by: str, what: str, subject: str, contacts: int) -> None:
        access = Access(0, self._now_ms, by, what, subject, contacts)._asdict()
        del access["number"]
        insert_all(self._connection, accesses, [access])


def _subject(order_id: str, buyer: Buyer | None) -> str:
    if buyer is None or buyer.customer is None:
        return of_order(order_id)
    return of_customer(buyer.customer)


# At start, and beside a running central.


def is_empty(connection: Database) -> bool:
    """Whether nothing is sealed that a master key would be needed for."""
    with transaction(connection):
        return connection.execute(_LIVE.limit(1)).first() is None


def prepare(connection: Database, keyring: Keyring) -> bool:
    """Before central serves: see that the key fits, move to the newest, seal what was plain.

    Returns:
        Whether the log is empty of what was overwritten; not while somebody reads.

    Raises:
        ConfigError: the master key is not the one of this database.
        StorageError: the database could not do it; nothing of it is kept.
    """
    with transaction(connection):
        try:
            _check(connection, keyring)
            if keyring.rotating:
                _wrap_anew(connection, keyring)
        except UnreadableError as error:
            raise ConfigError(
                error.detail, place="vault_key_file", expected=error.expected
            ) from None
        adopted = inspect(connection).has_table(_PLAIN.name)
        if adopted:
            _adopt(connection, keyring)
    if adopted:
        # Deleted rows stay readable in the file until it is written anew, once.
        compact(connection)
    return wipe_log(connection)


def _check(connection: Connection, keyring: Keyring) -> None:
    newest = connection.execute(_LIVE.order_by(vault_keys.c.number.desc()).limit(1)).first()
    if newest is not None:
        keyring.unwrap(newest.wrapped, newest.subject)


def _wrap_anew(connection: Connection, keyring: Keyring) -> None:
    old = [x for x in connection.execute(_LIVE) if not keyring.is_newest(x.wrapped)]
    for part in chunks(old):
        again = [
            {"of": x.number, "by": keyring.wrap(keyring.unwrap(x.wrapped, x.subject), x.subject)}
            for x in part
        ]
        connection.execute(_WRAP, again)


def _adopt(connection: Connection, keyring: Keyring) -> None:
    sealed = Vault(connection, keyring, 0)
    for part in chunks(list(connection.scalars(select(_PLAIN.c.body)))):
        sealed.keep([decode_frame(body, ContactFor) for body in part])
    connection.exec_driver_sql(f"DROP TABLE {_PLAIN.name}")


def read_accesses(location: Location) -> list[Access]:
    """Who has read or forgotten what, the newest first; the database is only read.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        rows = connection.execute(select(accesses).order_by(accesses.c.number.desc()))
        return [Access(*row) for row in rows]
