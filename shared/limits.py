"""Bounds on everything that comes from outside. One place, so that both ends agree.

Names carry the unit, then the qualifier. The JSON Schemas are generated from these.
"""

from typing import Final

PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""Largest message a device may send. A payment with 1,000 lines is about 150 KiB."""

EXCERPT_BYTES_MAX: Final = 2_048
"""What an edge keeps of a message that is too large, or refused."""

ID_CHARS_MAX: Final = 64
TEXT_CHARS_MAX: Final = 256
LINES_MAX: Final = 1_000
"""Lines of one order, or of one stock report."""

COST_MINOR_MAX: Final = 5 * 10**8
"""Largest single cost in a network: keeps every plan's cost within the kernels' integers."""

CHARGE_MINOR_MAX: Final = COST_MINOR_MAX // 50
"""Largest charge of a kind on top of a tariff, for the same reason."""

WEIGHT_G_MAX: Final = 10**9
QUANTITY_MAX: Final = 1_000_000
MONEY_MINOR_MAX: Final = 10**13
CANDIDATES_MAX: Final = 16
"""Nodes named for a line that waits: where stock would help it."""

PACKAGES_MAX: Final = 64
"""Most packages a plan may have, whatever the profile says."""

SLOTS_MAX: Final = 400
"""Slots of one announcement: a week of half hours fits."""

SEQUENCE_MAX: Final = 10**15
NODES_MAX: Final = 2_000
PRODUCTS_MAX: Final = 200_000
SERVICES_MAX: Final = 64
LANES_MAX: Final = 500_000
TRANSITS_MAX: Final = 50_000
PICKUPS_MAX: Final = 20_000
HOLIDAYS_MAX: Final = 100
"""Closed days by date that one node may name: several years of holidays."""

TARIFFS_MAX: Final = 5_000
TARIFF_STEPS_MAX: Final = 64
REGIONS_MAX: Final = 512

AREAS_MAX: Final = 64
AREA_POINTS_MAX: Final = 2_000
CLASSES_MAX: Final = 62
"""Classes of goods in a network: one bit each."""

NAMES_MAX: Final = 512
"""Names in one list of a document."""

PROFILES_MAX: Final = 64
RULES_MAX: Final = 256
BIDS_MAX: Final = 50_000
"""An edge lays them out between two payments: a tenth of a second for so many."""
LIMITS_MAX: Final = 64
"""Nodes or services that an order names."""

LOCK_LINES_MAX: Final = 10_000
"""Of one inventory lock: an order's lines, each perhaps in several pieces."""

WORD_CHARS_MAX: Final = 64
"""Of a system's own word for an order's state."""

SYSTEMS_MAX: Final = 32
WORDS_MAX: Final = 256
"""Words of one system."""

BATCH_EVENTS_MAX: Final = 256
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""A batch of the edge's log on the wire. Brokers commonly refuse more than 10 MiB."""

GRANT_CELLS_MAX: Final = 1_000
"""Cells in one grant, so that applying it never holds up a till for long."""

LOTS_MAX: Final = 1_000
"""Lots that are told at once, for the same reason."""
