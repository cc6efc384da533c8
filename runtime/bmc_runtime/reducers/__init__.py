"""Reductions of fitting over all rows: exact sums, quantiles, extremes, tables of distinct values."""
