"""All tests run with a device's limits, which they reach; test_limits.py has a host's."""

import os

# before anything imports writ, and for every process that a test starts
os.environ.setdefault("WRIT_LIMITS", "device")
