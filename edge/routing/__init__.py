"""Deciding which node ships which lines of an order, by which carrier service."""
