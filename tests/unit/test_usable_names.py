"""Names that are made of directories which cannot name an environment."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from driftguard.config.environment import usable_name
from driftguard.config.values import accepts


@given(st.text(min_size=1, max_size=300))
@example("@")
@example("+x")
@example("_@x")
@example("-/@")
def test_every_directory_gives_a_name_that_a_configuration_accepts(directory: str) -> None:
    assert accepts("name", usable_name(directory, directory))
