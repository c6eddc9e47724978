"""Two points: what is known good and what is approved; and the configuration is code, in every respect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Estate, S3Estate
from tests.integration.test_authority import new_key, signed_commit
from tests.integration.test_proposals import reasons
from tests.integration.test_reconcile import Raw, decision, thing
from tests.support.seeds import one_quick

pytestmark = pytest.mark.terraform


@pytest.fixture
def estate(s3_estate: S3Estate) -> S3Estate:
    """States in S3: settings of that backend are what one of the tests changes."""
    return s3_estate


class SignedEstate:
    """An estate whose commits have to be signed by Ada, who applied one thing."""

    def __init__(self, estate: Estate, folder: Path, policy: str = "pending: apply, drift: revert") -> None:
        self.estate, self.ada = estate, new_key(folder, "ada")
        self.signers = folder / "signers"
        self.signers.write_text(f"ada@example.org {self.ada.with_suffix('.pub').read_text()}")
        self.write_policy(policy)
        estate.write(thing("a", value="1"))
        self.first = signed_commit(estate, self.ada, "Apply a")
        ran = estate.reconcile()
        assert ran.code == 0, ran.stdout
        assert ran.environment("dev")["approved"] == {"commit": self.first}

    def write_policy(self, policy: str, require: str = "signed") -> None:
        approval = f"{{require: {require}, signers: {self.signers}}}" if require == "signed" else "{require: merged}"
        self.estate.sandbox.write("driftguard.yaml", f"policy: {{{policy}, approval: {approval}}}\n")

    def unsigned(self, message: str) -> str:
        return self.estate.sandbox.commit(message)

    def signed(self, message: str) -> str:
        return signed_commit(self.estate, self.ada, message)


@pytest.fixture
def signed(estate: Estate, tmp_path: Path) -> SignedEstate:
    return SignedEstate(estate, tmp_path)


def test_a_commit_whose_plan_is_empty_is_still_asked_for_its_approval(signed: SignedEstate) -> None:
    estate = signed.estate
    estate.write(thing("a", value="1") + 'resource "toy_thing" "dormant" {\n  count = 0\n  name  = "dormant"\n}\n')
    unsigned = signed.unsigned("A dormant resource")
    ran = estate.reconcile()
    dev = ran.environment("dev")
    assert (ran.code, dev["verdict"]) == (0, "in_sync")
    assert (dev["baseline"]["commit"], dev["approved"]["commit"]) == (unsigned, signed.first)
    estate.toy.change("a", value="outside")
    ran = estate.reconcile()
    assert decision(ran) == ("hold", ["not_signed"])
    assert unsigned[:10] in str(reasons(ran))
    assert estate.toy.thing("a")["value"] == "outside"

    # A revert of what nobody signed needs no signature of its own: what is there was approved.
    estate.write(thing("a", value="1"))
    back = signed.unsigned("Take it out again")
    ran = estate.reconcile()
    assert (ran.code, decision(ran)[0]) == (0, "apply"), reasons(ran)
    assert ran.environment("dev")["approved"] == {"commit": back}
    estate.write(thing("a", value="2"))
    signed.signed("Go on")
    assert decision(estate.reconcile()) == ("apply", ["policy_apply", "signed", "applied"])


@pytest.mark.parametrize(
    "entry",
    one_quick(
        [
            "env: {TF_VAR_v: evil}",
            "var_files: [evil.tfvars]",
            "backend_config: {workspace_key_prefix: evil}, env: {TF_VAR_v: evil}",
        ],
        pytest.mark.further,
    ),
)
def test_a_commit_to_the_configuration_alone_is_a_change_that_needs_its_approval(
    estate: Estate, tmp_path: Path, entry: str
) -> None:
    signed = SignedEstate(estate, tmp_path)
    body = 'variable "v" {\n  default = "1"\n}\n' + thing("a", value=Raw("var.v"))
    estate.write(body)
    estate.sandbox.write("environments/dev/evil.tfvars", 'v = "evil"\n')
    first = signed.signed("A variable")
    assert estate.reconcile().code == 0
    text = (estate.sandbox.repository / "driftguard.yaml").read_text()
    estate.sandbox.write("driftguard.yaml", f"environments: [{{path: environments/*, {entry}}}]\n{text}")
    commit = signed.unsigned("Only the configuration")
    ran = estate.reconcile()
    dev = ran.environment("dev")
    assert decision(ran) == ("hold", ["not_signed"]), reasons(ran)
    assert commit[:10] in str(reasons(ran))
    assert "pending" in dev["resources"][0]["labels"]
    assert [c["sha"] for c in dev["commits"]] == [commit]
    assert (dev["approved"]["commit"], estate.toy.thing("a")["value"]) == (first, "1")


def test_an_approval_that_was_loosened_counts_once_it_is_approved(signed: SignedEstate) -> None:
    estate = signed.estate
    signed.write_policy("pending: apply, drift: revert", "merged")
    estate.write(thing("a", value="2", tags={"x": "y"}))
    signed.unsigned("Loosen, and use it at once")
    ran = estate.reconcile()
    assert decision(ran)[0] in ("hold", "alert"), reasons(ran)
    assert estate.toy.thing("a")["value"] == "1"

    estate.sandbox.git("reset", "--quiet", "--soft", "HEAD~1")
    signed.signed("Loosen, signed, and use it at once")
    ran = estate.reconcile()
    assert decision(ran)[0] == "apply", (reasons(ran), ran.environment("dev")["error"])
    assert estate.toy.thing("a")["value"] == "2"
