"""The guest's init: a program of its own, in C, and how it is compiled."""
