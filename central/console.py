"""What becomes of an operator's request: each is one transaction and has one answer."""

from central import admin, fences, ingest, published, sourcing, streams
from central.admin import Answer
from central.burst import Outcome
from central.database import Database
from central.feed import Document, document_of
from central.ingest import Unfit
from central.systems import namesake
from central.turn import Turn
from shared.errors import InvalidDataError
from shared.frames import FeedKind, decode_frame
from shared.network import Network, parse_network
from shared.prices import parse_prices
from shared.sourcing import parse_sourcing


def answer(turn: Turn, kind: str, payload: bytes, unfit: Unfit) -> tuple[Outcome, Answer]:
    """Do what a request asks, and answer it.

    Args:
        turn: the transaction.
        kind: one of `central.admin.REQUESTS`.
        payload: the request, or the document.
        unfit: see `central.ingest`.

    Raises:
        PointsmanError: the request is refused; nothing of it may be kept.
        UnfitError: an event that met a fault of ours.
    """
    match kind:
        case admin.NETWORK:
            network = parse_network(payload)
            _check_names(turn, network)
            outcome = ingest.publish(turn, network, payload)
            return outcome, admin.Published(version=network.version)
        case admin.PRICES:
            version = sourcing.publish_prices(turn, payload)
            return turn.finish(), admin.Published(version=version)
        case admin.SOURCING:
            sourcing.publish(turn, payload)
            return turn.finish(), _in_force(turn)
        case admin.ROLLBACK:
            decode_frame(payload, admin.Rollback)
            sourcing.roll_back(turn)
            return turn.finish(), _in_force(turn)
        case admin.FENCE:
            epoch = fences.fence(turn, decode_frame(payload, admin.Fence).edge_id)
            return turn.finish(), admin.Fenced(epoch=epoch)
        case admin.FORGET:
            forgotten = _forget(turn, decode_frame(payload, admin.Forget))
            return turn.finish(), forgotten
        case admin.CONTACT:
            asked = decode_frame(payload, admin.ShowContact)
            contact = turn.vault.read(asked.order_id, asked.by)
            return turn.finish(), admin.Shown(order_id=asked.order_id, contact=contact)
        case _:
            assert kind == admin.REPLAY, kind
            return _replay(turn, decode_frame(payload, admin.Replay), unfit)


def documents_of(connection: Database) -> dict[FeedKind, Document]:
    """What every edge has to have, by kind, as it was last published."""
    found: dict[FeedKind, Document] = {}
    network = streams.latest_network(connection)
    if network is not None:
        found["network"] = document_of(parse_network(network))
    last = published.in_force(connection)
    if last is not None:
        document = published.load_sourcing(connection, last.version)
        found["sourcing"] = document_of(parse_sourcing(document))
    prices = published.latest_prices(connection)
    if prices is not None:
        found["prices"] = document_of(parse_prices(prices))
    return found


def _check_names(turn: Turn, network: Network) -> None:
    homes = [node.edge_id for node in network.nodes]
    name = namesake(turn.memory.systems, homes)
    if name is not None:
        i = homes.index(name)
        raise InvalidDataError(
            f"the home of node {network.nodes[i].node_id!r} is called {name!r}, as a system in "
            "central's configuration is",
            place=f"$.nodes[{i}].edge_id",
            expected="another name: central would not hear that edge",
        )


def _in_force(turn: Turn) -> Answer:
    version, before = sourcing.versions(turn)
    return admin.InForce(version=version, before=before)


def _forget(turn: Turn, asked: admin.Forget) -> Answer:
    if asked.customer is not None:
        return admin.Forgotten(contacts=turn.vault.forget_customer(asked.customer, asked.by))
    assert asked.order_id is not None, "one of the two"
    return admin.Forgotten(contacts=turn.vault.forget_order(asked.order_id, asked.by))


def _replay(turn: Turn, asked: admin.Replay, unfit: Unfit) -> tuple[Outcome, Answer]:
    outcome, entries = ingest.replay(turn, asked.edge_id, asked.sequence, unfit)
    remaining: dict[str, int] = {}
    for entry in entries:
        if entry.fault is not None:
            remaining[entry.fault.code] = remaining.get(entry.fault.code, 0) + 1
    done = len(entries) - sum(remaining.values())
    return outcome, admin.Replayed(replayed=done, remaining=remaining)
