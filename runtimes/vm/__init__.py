"""The VM runtime: guests of libvirt's QEMU driver."""

import os

# libvirt reads this when it is first imported. Left alone it writes warnings about domains that run as root, and every
# error that is raised anyway, to standard error.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
