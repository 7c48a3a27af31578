"""Central: takes in every edge's stream, keeps the truth, hands out stock.

Central never routes an order. The parts, from the pure ones outwards:

    stream      what of a batch is next on an edge's stream, epoch by epoch
    greeting    whether who says hello is the edge that central knows
    accounts    events as moves between the accounts of stock cells
    demand      what each edge sells of each cell
    escrow      how much of each cell an edge may promise alone
    recalls     whose units are asked back
    hub, desk   orders, tasks and waiting lines, from events
    systems     whom central drives; consequences: what they are told because of an event;
                answers, dealings: what they say, and what becomes of it
    hub_stream  central's own stream; courier: commands until they are answered
    feed        what goes down to which edge, and the window of each feed
    territory   nodes, their home edges: what of the network all these ask
    sealing     contacts under keys; keyfile has the master key, redaction keeps logs clean
    chains      the walk that verifies the ledger
    checkpoint  what central signs, and with which key; signing: when
    tables      the database; ledger, views, holdings, streams, vault, digest, correspondence,
                agreement: the SQL
    turn        one transaction in the making
    ingest      what a burst, a network, a review, a replay does in it
    office      what a turn has to do with systems; vigil: when an answer is missed
    post        what goes out to systems
    fences      an edge is fenced, and comes back
    rebuild     the views anew, from the ledger; archive: the ledger in a file
    core        the conversation with the edges, without a wire
    admin       what an operator asks of it
    link        the wire: MQTT
    daemon      start, log, stop
    api         the HTTP API, a process of its own; queries: its SQL; private: secret files
"""
