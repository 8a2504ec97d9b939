"""The frames of one cycle of a node that sleeps: it wakes, sends a reading of 4 bytes, and sleeps.

At the node, in their order: (whether the node sends it, bytes). tests/host/writ/mesh has the field
in which they are counted. Each hour a cycle has a report of neighbours beside, `REPORT`.
"""

# A request, its answer with a receipt in front, the receipt of that, POLL and its receipt
BESIDE_GATEWAY = ((True, 44), (False, 33), (True, 16), (True, 22), (False, 17))
# The same behind a relay, which has nothing to take its receipt with it
BEHIND_RELAY = ((True, 46), (False, 16), (False, 36), (True, 16), (True, 22), (False, 17))
# The report of a node with one neighbour, behind a relay
REPORT = ((True, 69), (False, 16), (False, 36), (True, 16))
