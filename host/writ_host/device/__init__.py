"""Boards: what they are, what is built for them, and how a host talks to them."""
