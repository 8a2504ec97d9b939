"""Keys and their storage: FROST, DKG, re-sharing, HPKE, identities, rosters, encrypted files."""
