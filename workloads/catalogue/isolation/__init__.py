"""Tries, from inside an instance, to reach the host; every way that is tried is a claim that holds or is broken.

    python3 -m isolation HOST_BOOT_ID HOST_NAMESPACES HOST_PID

The bare host is an arm too, so that every attempt is made in a way that changes nothing where it succeeds: what is
opened is not written, what is written was just read, and calls that could do harm get arguments that the kernel refuses
only after it has checked for permission.
"""
