"""Address translation (NAT) between two bridges of the run's network namespace, by nftables."""

from __future__ import annotations

import shutil
import subprocess

from runtimes.base import HostError

_RULES = """
table ip bench {{
    chain publish {{
        type nat hook prerouting priority dstnat
        ip daddr {published} dnat ip prefix to ip daddr map {{ {published} : {hidden} }}
    }}
    chain hide {{
        type nat hook postrouting priority srcnat
        ip saddr {hidden} oifname "{outside}" snat ip prefix to ip saddr map {{ {hidden} : {published} }}
    }}
}}
"""
"""One rule each way for all addresses, so that nothing is left to be set up when an instance starts (nft(8), NAT
statements with a prefix)."""


def find_nft() -> str:
    """The program ``nft``.

    Raises:
        HostError: there is none.
    """
    path = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise HostError("network: nat needs the program nft; install the package nftables, or say network: bridge")
    return path


def translate(outside: str, *, hidden: str, published: str) -> None:
    """Have the calling thread's network namespace translate addresses.

    Args:
        outside: name of the bridge behind which the world is.
        hidden: network of those who lie behind translation, as ``10.0.0.0/16``.
        published: network of the same size by which the world knows them.

    Raises:
        HostError: there is no ``nft``, or the kernel refused.
    """
    rules = _RULES.format(outside=outside, hidden=hidden, published=published)
    done = subprocess.run([find_nft(), "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise HostError(
            f"network: nat cannot be had of this kernel: nft: {reason}; it needs nf_tables and nft_nat; "
            "or say network: bridge"
        )
