"""From what an edge's file keeps of an order to its explanation. Pure."""

from collections.abc import Iterator

import msgspec

from deploy.explain.formats import Document, ExplainedDecision, Explanation, Shipping
from edge.archive import Kept
from edge.decisions import Basis, Digests, Inputs, known_from, replay
from edge.routing.explaining import explain
from shared.envelope import Event, decode_data
from shared.errors import DecisionPrunedError
from shared.events import OrderAccepted, OrderParked, RoutePlanned


def explained(kept: Kept) -> Explanation:
    """Every decision of an order, decided again and explained.

    Raises:
        DecisionPrunedError: nothing of them is kept.
    """
    if not kept.entries:
        raise DecisionPrunedError(
            f"the decisions of order {kept.order.order_id!r} are no longer kept here: they are "
            "older than the edge's log, or were made on a disk that was lost",
            place="log",
            expected="its events in central's ledger, which keeps the plans; `[log] log_days` and "
            "`decided_rows_max` say how long an edge keeps what they were made by",
        )
    order, payment = kept.order, kept.order.payment
    return Explanation(
        order_id=order.order_id,
        device=order.device,
        paid_at=payment.paid_at,
        store_id=payment.store_id,
        channel=payment.channel,
        fulfilment=payment.fulfilment,
        customer=payment.customer,
        destination=payment.destination,
        lines=payment.lines,
        decisions=list(_decisions(kept)),
        packages=[
            Shipping(
                node_id=package.node_id,
                service_id=package.service_id,
                task_id=package.task_id,
                lines=[line.line for line in package.lines],
                arrives_at=package.arrives_at,
            )
            for package in order.packages
        ],
        parked=order.parked,
    )


def _decisions(kept: Kept) -> Iterator[ExplainedDecision]:
    bases: dict[Digests, Basis] = {}
    accepted_at = 0
    for position, event in kept.entries:
        data = decode_data(event)
        assert isinstance(data, OrderAccepted | OrderParked | RoutePlanned)
        inputs = kept.inputs.get(position)
        if isinstance(data, OrderAccepted):
            accepted_at = position
        elif isinstance(data, OrderParked) and inputs is None and position == accepted_at + 1:
            continue  # It says again what waits of the answer before it.
        told = _told(position, event, data)
        if inputs is not None:
            basis = bases.get(inputs.documents)
            if basis is None:
                basis = bases[inputs.documents] = Basis(kept.documents[inputs.documents])
            told = _again(told, inputs, basis)
        yield told


def _told(
    position: int, event: Event, data: OrderAccepted | OrderParked | RoutePlanned
) -> ExplainedDecision:
    return ExplainedDecision(
        position=position,
        at=event.time,
        said=data.kind,  # type: ignore[arg-type]  # one of the three
        plan=None if isinstance(data, OrderParked) else data.plan,
        parked=data.parked,
    )


def _again(told: ExplainedDecision, inputs: Inputs, basis: Basis) -> ExplainedDecision:
    """With what it was made by, whether it comes out the same, and what others would need."""
    routed = replay(inputs, basis)
    known, question = known_from(inputs, basis), inputs.question()
    network = basis.snapshot.network
    versions = [("network", str(network.version), inputs.documents[0])]
    if basis.rules is not None:
        versions.append(("sourcing", basis.rules.version, inputs.documents[1]))
    if basis.rates.prices is not None:
        versions.append(("prices", str(basis.rates.prices.version), inputs.documents[2]))
    return msgspec.structs.replace(
        told,
        currency=network.currency,
        documents=[
            Document(kind=kind, version=version, digest=digest.hex())  # type: ignore[arg-type]
            for kind, version, digest in versions
        ],
        same=msgspec.json.encode(routed.plan) == msgspec.json.encode(told.plan),
        asked=[want.line for want in question.wants],
        explained=explain(known, question, inputs.at_ms, routed),
    )
