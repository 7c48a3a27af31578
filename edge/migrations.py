"""The tables of the edge's file, step by step; an upgrade applies the steps that are new."""

from sqlite_utils import Database, Migrations

migrations = Migrations("pointsman.edge")


@migrations()
def m001_first(db: Database) -> None:
    """Everything that the edge keeps."""
    db.executescript(
        """
        create table meta (key text primary key, value text not null) without rowid;
        create table networks (version integer primary key, body blob not null);
        create table cells (
            node_id text, sku text, share integer not null check (share >= 0),
            primary key (node_id, sku)
        ) without rowid;
        -- The log of this edge's own events, which is also the outbox.
        create table log (
            sequence integer primary key, type text not null, order_id text not null,
            event blob not null
        );
        create index log_by_order on log (order_id);
        create table answers (
            source text, event_id text, digest blob not null, sequence integer,
            primary key (source, event_id)
        ) without rowid;
        create table orders (
            order_id text primary key, parked integer not null, body text not null
        );
        create index orders_parked on orders (order_id) where parked > 0;
        create table tasks (
            task_id text primary key, state text not null, node_id text not null,
            order_id text not null, event blob not null, body text not null
        );
        create index tasks_issued on tasks (node_id, task_id) where state = 'issued';
        create table arrivals (sku text, expected_ms integer, primary key (sku, expected_ms))
            without rowid;
        -- Kept until central has them, and never in the log.
        create table contacts (order_id text primary key, body text not null);
        create table quarantine (
            digest text primary key, first_at text not null, last_at text not null,
            times integer not null, topic text not null, code text not null, place text not null,
            detail text not null, expected text not null, bytes integer not null,
            excerpt text not null
        );
        """
    )


@migrations()
def m002_epochs_and_retention(db: Database) -> None:
    """The log's rows are numbered through all epochs, and know their age."""
    db.executescript(
        """
        alter table log rename column sequence to position;
        alter table log add column logged_ms integer not null default 0;
        alter table answers rename column sequence to position;
        create table slots (
            node_id text, starts_ms integer, ends_ms integer not null,
            primary key (node_id, starts_ms)
        ) without rowid;
        -- What picks have taught, see edge/failures.py.
        create table failures (
            node_id text, sku text, score integer not null, at_ms integer not null,
            primary key (node_id, sku)
        ) without rowid;
        create index tasks_open on tasks (node_id)
            where state in ('issued', 'accepted', 'completed', 'packed');
        """
    )


@migrations()
def m003_documents(db: Database) -> None:
    """What planners publish besides the network: the newest of each kind."""
    db.executescript("create table documents (kind text primary key, body blob not null);")


@migrations()
def m004_incoming(db: Database) -> None:
    """What is expected is known by its lot, so that it can be changed and taken off."""
    db.executescript(
        """
        create table incoming (
            node_id text, lot_id text, sku text, units integer not null check (units > 0),
            expected_ms integer not null, release_per_mille integer not null,
            reason text not null,
            primary key (node_id, lot_id, sku)
        ) without rowid;
        -- The old rows know neither node nor units: these goods have to be announced again.
        drop table arrivals;
        """
    )


@migrations()
def m005_decisions(db: Database) -> None:
    """What plans were made by, see edge/decisions.py; by the log position of what was decided."""
    db.executescript(
        """
        create table decision_documents (digest blob primary key, body blob not null);
        create table decision_bases (
            basis integer primary key, network blob not null, sourcing blob not null,
            prices blob not null, unique (network, sourcing, prices)
        );
        create table decisions (
            position integer primary key, basis integer not null, inputs blob not null
        );
        create index decisions_by_basis on decisions (basis);
        """
    )


@migrations()
def m006_early(db: Database) -> None:
    """What a past says of tasks and orders before it tells of them; see edge/rebuild.py."""
    db.executescript(
        """
        create table early (number integer primary key, about text not null, event blob not null);
        create index early_about on early (about);
        """
    )


@migrations()
def m007_good_picks(db: Database) -> None:
    """Good picks count too, see edge/failures.py."""
    db.execute("alter table failures add column good integer not null default 0")
