"""Capsules, the policy, the authority state that they make, and its records in flash."""
