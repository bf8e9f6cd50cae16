"""A night: measure, look for regressions, report, clear up, publish; with one exit code and one line at the end."""
