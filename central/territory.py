"""What central asks of the network: which nodes there are, and whose they are."""

from dataclasses import dataclass, field
from typing import Literal

from shared.network import Network


@dataclass(frozen=True, slots=True)
class Territory:
    """Nodes and edges of the latest network; empty before the first one.

    Attributes:
        edges: ids of all edges of the network, sorted.
        home: node id to the id of its home edge.
        kinds: node id to "dc" or "store".
        walk_in: store to the units of each SKU that stay with its home edge, for customers who
            walk in; stores without any are left out.
    """

    edges: tuple[str, ...] = ()
    home: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, Literal["dc", "store"]] = field(default_factory=dict)
    walk_in: dict[str, int] = field(default_factory=dict)


def territory_of(network: Network) -> Territory:
    """The part of a network that central works with."""
    return Territory(
        edges=tuple(sorted({node.edge_id for node in network.nodes})),
        home={node.node_id: node.edge_id for node in network.nodes},
        kinds={node.node_id: node.kind for node in network.nodes},
        walk_in={
            node.node_id: node.walk_in_units
            for node in network.nodes
            if node.kind == "store" and node.walk_in_units
        },
    )
