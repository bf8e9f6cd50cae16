"""Runs of the same thing over time: series, changes of their level, and whether something got worse."""
