"""Is a provider's process in Terraform's eyes: has one forked from a process that has loaded everything already.

    python -I -S toy_launcher.py SOCKET

Loading a provider that is written in Python costs more than all that it does in a test, and Terraform starts three for
each plan. The fork writes to our own streams, sees our environment, and ends when we do; we end when it does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Terraform ends its providers by itself
    with socket.socket(socket.AF_UNIX) as nursery:
        nursery.connect(sys.argv[1])
        told = "\0".join([os.getcwd(), *(f"{name}={value}" for name, value in os.environ.items())]).encode()
        socket.send_fds(nursery, [len(told).to_bytes(8, "big")], [0, 1, 2])
        nursery.sendall(told)
        nursery.recv(1)


if __name__ == "__main__":
    main()
