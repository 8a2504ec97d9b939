"""The ceremonies of a daemon: founding, resharing and succession, and the gossip of their files."""
