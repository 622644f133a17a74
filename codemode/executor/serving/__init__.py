"""The executor as a server: its command, addresses, keys and health."""
