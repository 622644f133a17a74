"""Adapters: Codemode as tools of agent frameworks, one module for each framework."""
