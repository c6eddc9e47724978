"""Limits of one run's proposals: open pull requests, and a forge that does not answer."""

from __future__ import annotations

from driftguard.errors import ForgeFault, OperatorError
from driftguard.model import PullRequest, RequestState
from driftguard.pipeline.propose.limits import ForgeFaults, OpenLimit
from driftguard.ports import RequestReader


def request(number: int) -> PullRequest:
    return PullRequest(number, f"driftguard/{number}", "main", RequestState.OPEN, "", "", "", "")


class Requests(RequestReader):
    """A forge with open pull requests; it counts how often they are listed."""

    def __init__(self, number: int) -> None:
        self.number, self.listed = number, 0

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        return ()

    def compare_url(self, base: str, branch: str) -> str | None:
        return None

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        self.listed += 1
        return tuple(map(request, range(self.number)))


def test_open_requests_are_listed_once_and_each_reservation_counts() -> None:
    forge = Requests(1)
    limit = OpenLimit(forge, 3)
    assert [limit.take() for _ in range(4)] == [None, None, "3 are open", "3 are open"]
    assert forge.listed == 1


def test_faults_of_single_requests_stop_no_other_environment() -> None:
    faults = ForgeFaults()
    for _ in range(5):
        faults.add(ForgeFault("driftguard/dev is protected.", denied=True))
        faults.add(OperatorError("A path cannot be written."))
    assert faults.given_up() is None


def test_a_forge_that_is_away_is_given_up_after_two_faults() -> None:
    faults = ForgeFaults()
    faults.add(ForgeFault("GitHub could not be reached.", whole_forge=True))
    assert faults.given_up() is None
    faults.add(ForgeFault("GitHub did not answer.", whole_forge=True))
    assert faults.given_up() == "GitHub could not be reached"


def test_faults_for_some_environments_leave_the_forge_to_the_others() -> None:
    faults = ForgeFaults()
    for _ in range(5):
        faults.add(ForgeFault("GitHub answered 502.", whole_forge=True))
        assert faults.given_up() is None
        faults.clear()
