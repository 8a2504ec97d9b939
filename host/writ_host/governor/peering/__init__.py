"""Governor to governor: sessions over UDP, fragments, queues, addresses, bootstrap."""
