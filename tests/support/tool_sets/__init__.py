"""Sets of tools, and requests in plain English with the tools that they mean."""
