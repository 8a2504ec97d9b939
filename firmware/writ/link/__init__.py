"""Links: how datagrams travel. A link knows sockets and addresses and nothing of nodes."""
