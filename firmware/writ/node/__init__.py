"""A node: sessions, requests, capsules on the move, delegation to host peers. Sans-IO."""
