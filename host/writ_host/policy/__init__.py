"""Policy files: the TOML source, its checks, its diff, and the policy as text."""
