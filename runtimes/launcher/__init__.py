"""The launcher: the process that all of a run's native instances, containers and peers are started by."""
