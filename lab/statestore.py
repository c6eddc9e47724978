"""Terraform's `http` backend in memory: the states of one laboratory process, with locks."""

from __future__ import annotations

from tests.support.loopback import Loopback, LoopbackHandler


class StateStore(Loopback):
    """States by name on a port of this machine; use it in a `with` block."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.locks: dict[str, bytes] = {}
        store = self

        class Handler(_Handler):
            """Answers for this store."""

            kept = store

        super().__init__(Handler)

    def backend(self, name: str) -> str:
        """The backend block for a state."""
        address = f"{self.endpoint}/{name}"
        return (
            f'  backend "http" {{\n    address        = "{address}"\n'
            f'    lock_address   = "{address}"\n    unlock_address = "{address}"\n  }}\n'
        )


class _Handler(LoopbackHandler):
    """One request of Terraform's: read, write, lock, unlock."""

    kept: StateStore

    def do_GET(self) -> None:
        state = self.kept.states.get(self._name)
        self.answer(200 if state is not None else 404, (state or "").encode())

    def do_POST(self) -> None:
        self.kept.states[self._name] = self.body().decode()
        self.answer(200)

    def do_LOCK(self) -> None:
        body = self.body()
        held = self.kept.locks.setdefault(self._name, body)
        self.answer(200 if held == body else 423, held)

    def do_UNLOCK(self) -> None:
        self.body()
        self.kept.locks.pop(self._name, None)
        self.answer(200)

    @property
    def _name(self) -> str:
        return self.path.split("?")[0].strip("/")
