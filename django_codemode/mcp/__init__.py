"""An MCP server of the project's tools: ``application`` by HTTP, ``stdio`` for a local client."""
