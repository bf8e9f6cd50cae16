"""The command line, the suite schema, the plan, the runner and host inspection."""

__version__ = "0.1.0"
