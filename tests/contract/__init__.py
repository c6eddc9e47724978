"""Contract suites: what every implementation of a port must do."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.engine_contract", "tests.contract.ledger_contract", "tests.contract.shared_ledger_contract"
)
