"""Warm sandboxes by profile, and the zygotes that fork them."""
