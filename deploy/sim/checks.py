"""The watcher: looks at every disk after every commit, and asserts P1, P2 and P3 at each step.

It reads what the databases hold, and what leaves the processes; it shares no code with them
but the definitions of events and frames.
"""

from deploy.sim.central_checks import CentralChecks
from deploy.sim.edge_checks import EdgeChecks


class Checks(EdgeChecks, CentralChecks):
    """Both sides on one tally: what an edge does is held against what central knows."""
