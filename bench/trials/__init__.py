"""The kinds of trial, one module each: what is started, what is run in it, and what of that is measured.

Each has a function ``carry_out`` that fills in the measurements of an :class:`bench.trials.attempt.Attempt`;
:mod:`bench.trial` chooses among them, and makes an outcome of what they leave.
"""
