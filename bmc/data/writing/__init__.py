"""Predictions into files, block by block."""
