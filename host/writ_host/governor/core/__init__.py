"""The core of a governor, sans-IO: consensus, cosigning, the proposal pool and catch-up, joined."""
