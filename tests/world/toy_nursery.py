"""Forks toy providers from a process that has loaded everything; see `toy_launcher`.

    python -m tests.world.toy_nursery SOCKET

Ends when its standard input does. `toy_serving.py` starts it for a session of tests.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from typing import NoReturn

from cryptography import x509 as x509  # what the provider's library loads late
from cryptography.hazmat.primitives.asymmetric import rsa as rsa
from tf import runner as runner
from tf.gen import grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc  # noqa: F401

from tests.world import toy_provider


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(sys.argv[1])
        door.listen(64)
        while True:
            ready, _, _ = select.select([0, door], [], [])
            if 0 in ready:
                return
            launcher, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _become_a_provider(launcher)
            launcher.close()


def _become_a_provider(launcher: socket.socket) -> NoReturn:
    head, streams, _, _ = socket.recv_fds(launcher, 8, 3)
    left, told = int.from_bytes(head, "big"), b""
    while len(told) < left:
        told += launcher.recv(left - len(told))
    folder, *variables = told.decode().split("\0")
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variable.partition("=")[::2] for variable in variables)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(launcher,), daemon=True).start()
    sys.argv = ["toy_provider.py"]
    toy_provider.serve()
    sys.stdout.flush()
    os._exit(0)


def _end_with(launcher: socket.socket) -> None:
    """End at once when the launcher was killed, as what it stands for would."""
    launcher.recv(1)
    os._exit(1)


if __name__ == "__main__":
    main()
