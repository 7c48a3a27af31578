"""The HTTP API of central: a process of its own, which reads the database and writes nothing.

answers     what is answered, typed; asked: what may be asked for
operation   what a route says of itself; contract: the OpenAPI document made of that
problems    refusals, as RFC 9457 wants them
tokens      who may ask, and what; access: the door
readers     threads that read the database
sources     what is answered, from the database
entries     the ledger's entries, for those who may see all and those who may not
replies     answers as bytes, with ETags; pages: cursors
orders, views, health, changes: the routes
till        the wire to a site's edge, for orders that are put in
envelope    request ids, time limits, the log: around everything
app, serve  all together; the process
"""
