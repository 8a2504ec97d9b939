"""The build of what a device runs: the sources of `firmware/`, linked and compiled."""
