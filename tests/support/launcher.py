"""Is a program's process in the eyes of who starts it: has one forked from a process that has loaded the program.

    python -I -S launcher.py SOCKET [ARGUMENT]...

Loading costs more than all that is done in a test: Terraform starts a provider three times for each plan. The fork
writes to our own streams, sees our environment, and is killed when we are; we end as it does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Terraform ends its providers by itself
    variables = "\0".join(f"{name}={value}" for name, value in os.environ.items())
    request = "\0\0".join([variables, os.getcwd(), *sys.argv[2:]]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        reply = server.recv(2)
    code = int.from_bytes(reply, "big", signed=True) if reply else -signal.SIGKILL
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
