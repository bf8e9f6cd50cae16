"""The error of everything that builds, keeps or reads images."""

from __future__ import annotations


class ImageError(Exception):
    """An image could not be built, or is damaged. The message says what failed, and how to mend it."""
