"""The core of a governor, sans-IO: it joins consensus, proposals and catch-up."""
