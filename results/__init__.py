"""What a run measured: the store, its statistics, comparison, export and tables.

Importing this package is cheap: pandas, numpy, scipy and rich are imported by the modules and functions that use them.
"""
