"""Torture: the real daemons, brokers and clients, and everything that can break, broken."""
