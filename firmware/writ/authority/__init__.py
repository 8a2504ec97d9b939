"""Capsules, the policy, the authority state of a node, and its records on flash."""
