"""Operators: each one's documentation, rules and lowering, in one place."""
