"""A node on a host: its folder, its configuration, the agent that runs it, its address book."""
