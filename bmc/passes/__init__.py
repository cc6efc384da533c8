"""Passes: functions from graph to graph. `pipeline.py` is the list of them, `manager.py` runs it."""
