"""Central: takes in every edge's stream, keeps the truth, hands out stock.

Central never routes an order. The parts, from the pure ones outwards:

    stream      what of a batch is next on an edge's stream
    accounts    events as moves between the accounts of stock cells
    escrow      how much of each cell an edge may promise alone
    hub         orders, tasks and waiting lines, from events
    feed        what goes down to which edge, and the window of each feed
    territory   nodes, their home edges: what of the network all these ask
    tables      the database; ledger, views, streams: the SQL
    ingest      one burst, one transaction
    core        the conversation with the edges, without a wire
    link        the wire: MQTT
    daemon      start, log, stop
"""
