"""Ceremonies of a daemon: founding, re-sharing and succession, and the gossip of their files."""
