"""How bytes are laid out and protected: CoAP, EDHOC and OSCORE. No sockets, no policy."""
