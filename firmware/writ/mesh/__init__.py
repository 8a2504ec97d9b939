"""The mesh: frames on links without IP, checked against the signed routing policy. Sans-IO."""
