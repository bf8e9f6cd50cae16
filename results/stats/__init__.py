"""Statistics of a run: pure functions that take numbers and give back values and warnings.

They read nothing, write nothing and print nothing.
"""
