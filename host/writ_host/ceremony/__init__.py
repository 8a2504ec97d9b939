"""Ceremonies by files: founding, signing and re-sharing among governors without a network."""
