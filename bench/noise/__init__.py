"""How quiet the host is: a probe that works for a fifth of a second, and what the kernel counted meanwhile."""
