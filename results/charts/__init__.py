"""Charts of a run: pure functions of samples or comparisons that return a figure, or None with nothing to show.

Import from the modules: ``startup``, ``memory``, ``levels``, ``throughput``, ``limits``; ``catalogue`` names them all.
"""
