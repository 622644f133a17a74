"""What the host offers: isolation tiers, limits, control groups and work folders."""
