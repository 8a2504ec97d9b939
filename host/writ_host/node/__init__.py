"""A node on a host: its folder, its configuration, its agent, its client, its address book."""
