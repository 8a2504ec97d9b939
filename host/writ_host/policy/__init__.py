"""Policies: the TOML source and its checks, differences, amendments, and policies as text."""
