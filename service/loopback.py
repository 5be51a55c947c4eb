"""Loopback: which names and addresses can only mean this machine, or only its network.

Who may listen (service/processes.py), who is answered (http/guard.py) and who is
called (addresses.py, workers/posts.py) hang on it.
"""

from ipaddress import ip_address


def is_loopback(name: str) -> bool:
    """Whether a host name or address, with or without brackets, can only mean this machine."""
    name = name.strip("[]").removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_private(name: str) -> bool:
    """Whether a host name or address means this machine or something that the world does not reach."""
    if is_loopback(name):
        return True
    try:
        address = ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast
