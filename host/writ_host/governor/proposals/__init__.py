"""Proposals: their table, approval by operators, the judge, members' statements."""
