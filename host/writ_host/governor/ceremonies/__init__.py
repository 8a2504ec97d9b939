"""Ceremonies that a daemon takes part in: founding, re-sharing, hand-over, and their gossip."""
