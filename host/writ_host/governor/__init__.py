"""A governor as a process: peering with the others, the ledger, the core, the daemon."""
