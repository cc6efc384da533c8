"""Elaboration of bodies: values, dims, keys, expressions, calls, statements, `scan`, onto a trace."""
