"""What the edge and central must agree on, and nothing else."""
