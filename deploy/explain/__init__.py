"""`pointsman explain`: why an order ships from there, and what would have had to be otherwise."""
