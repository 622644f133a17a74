"""Adapters, one module for each agent framework; MCP servers as tools."""
