"""Proposals: their index, the operators' approvals, the judge, members' statements, messages."""
