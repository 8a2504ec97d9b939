"""What a node does with authority and wire: sessions, requests, governance, delegation. Sans-IO."""
