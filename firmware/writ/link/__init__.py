"""Links: how datagrams and frames travel. A link knows ports and addresses and nothing of nodes."""
