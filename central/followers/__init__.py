"""Followers of the ledger: what tells others of it, each behind a cursor of its own.

A follower reads what is committed, in the order of positions, and keeps how far it has come in a
database that is not central's. So nothing that central does waits for it, and nothing is lost when
it dies: what was under way is told again.
"""
