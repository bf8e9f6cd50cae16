"""The launcher: the small process that all of a run's native instances, containers and peers are forked from."""
