"""The connections of ``register_mcp``, its options, and what servers offer as tools."""
