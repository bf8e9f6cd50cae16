"""Tables for a terminal: functions that return rich renderables, and print nothing.

Nothing is said by colour alone, so that a pipe, a log and ``NO_COLOR`` lose nothing. Names are always wrapped in
``Text``: in plain strings rich would take square brackets for markup.
"""
