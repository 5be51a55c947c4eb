"""Loopback: which names and addresses can only mean this machine.

Who may listen (service/processes.py) and who is answered (http/guard.py) hang on it.
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
