"""Leash: runs a command that ends with its parent, even when the parent is killed.

    python -I -S leash.py PARENT-PID COMMAND [ARGUMENT…]

The kernel is asked to send SIGTERM to this process when its parent is gone;
the request survives becoming the command. It is a program of its own because
nothing may safely run between fork and exec of a parent with threads. Run by
path with an empty module path, so that it costs about 20 ms; imports nothing
of ours. What the command writes is for its owner's eyes alone.

Where the kernel has no such request (macOS) it only becomes the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    parent, command = int(argv[0]), argv[1:]
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM))
        if os.getppid() != parent:  # it went before the kernel was asked
            return
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
