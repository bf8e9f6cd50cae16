"""What container engines have in common as runtimes: finding their programs, the instances that they start, what those
cost, and the limits in an engine's own words.

An engine is a program of others that makes a container: an OCI runtime, Docker, Podman, LXC, systemd-nspawn. Each is a
module of its own beside this package.
"""
