"""Governor to governor: messages in encrypted sessions over UDP.

endpoint.py   the socket                     transport.py  the sessions with all peers
outbox.py     when a message may leave       session.py    one peer: sessions, queue, timers
fairqueue.py  which message is handled next  handshake.py  EDHOC with pinned keys
addresses.py  peers.toml                     frames.py     datagrams and fragments
bootstrap.py  plain CoAP for foundings
"""
