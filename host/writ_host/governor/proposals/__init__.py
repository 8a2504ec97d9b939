"""Proposals: their table, the operators' approvals, the judge, members' statements, messages."""
