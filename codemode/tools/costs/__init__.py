"""The bound on the cost of validation: what tries a part of a value more than once."""
