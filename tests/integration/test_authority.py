"""Who may cause an apply, and under whose credentials it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Estate, S3Estate
from tests.integration.test_reconcile import decision, thing

pytestmark = pytest.mark.terraform


def signed_commit(estate: Estate, key: Path, message: str) -> str:
    git = estate.sandbox.git
    git("add", "--all")
    git("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "commit", "-q", "-S", "-m", message)
    return git("rev-parse", "HEAD")


def new_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def test_only_what_known_signers_signed_is_applied(estate: Estate, tmp_path: Path) -> None:
    ada, eve = new_key(tmp_path, "ada"), new_key(tmp_path, "eve")
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.org {ada.with_suffix('.pub').read_text()}")
    operator = tmp_path / "operator.yaml"
    operator.write_text("policy: {approval: {require: signed, signers: signers}}\n")
    # Does not weaken the operator's word; and the configuration is code, so its commit has to be signed as well.
    estate.sandbox.write("driftguard.yaml", "policy: {pending: apply, approval: {require: merged}}\n")
    signed_commit(estate, ada, "Configure DriftGuard")

    estate.write(thing("a", value="1"))
    unsigned = estate.sandbox.commit("Add a")
    ran = estate.reconcile("--config", str(operator))
    assert decision(ran) == ("hold", ["not_signed"])
    assert unsigned[:10] in ran.environment("dev")["decision"]["reasons"][0]

    estate.write(thing("a", value="2"))
    signed_commit(estate, eve, "By a stranger")
    assert decision(estate.reconcile("--config", str(operator))) == ("hold", ["not_signed"])
    assert estate.toy.effects() == []

    estate.write(thing("a", value="3"))
    signed_commit(estate, ada, "By Ada")
    ran = estate.reconcile("--config", str(operator))
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "signed", "applied"]))

    # Each commit since the baseline counts: one unsigned among signed ones holds the range and is named.
    estate.write(thing("a", value="4"))
    hidden = estate.sandbox.commit("Not signed")
    estate.write(thing("a", value="5"))
    signed_commit(estate, ada, "Signed again")
    ran = estate.reconcile("--config", str(operator))
    assert decision(ran) == ("hold", ["not_signed"])
    assert hidden[:10] in ran.environment("dev")["decision"]["reasons"][0]
    assert estate.toy.thing("a")["value"] == "3"


def test_assumed_roles_are_seen_by_their_own_terraform_and_by_nothing_else(s3_estate: S3Estate, tmp_path: Path) -> None:
    log = tmp_path / "seen"
    wrapper = tmp_path / "terraform-that-tells"
    wrapper.write_text(
        f"""#!/bin/sh
echo "$1 $(basename "$PWD") ${{AWS_ACCESS_KEY_ID:-none}}" >> "{log}"
exec terraform "$@"
"""
    )
    wrapper.chmod(0o755)
    roles = (
        "plan_role_arn: 'arn:aws:iam::123456789012:role/plan', apply_role_arn: 'arn:aws:iam::123456789012:role/apply'"
    )
    operator = tmp_path / "operator.yaml"
    operator.write_text(
        f"environments: [{{path: environments/dev, aws: {{{roles}}}}}, {{path: environments/prod}}]\n"
        f"terraform: {{binary: {wrapper}}}\nconcurrency: 1\n"
    )
    stolen = "arn:aws:iam::123456789012:role/admin"
    s3_estate.configure(f"policy: {{pending: apply}}\naws: {{apply_role_arn: '{stolen}'}}\n")
    s3_estate.write(thing("a"))
    s3_estate.write(thing("p"), environment="prod")
    s3_estate.sandbox.commit("Add dev and prod")
    ran = s3_estate.reconcile("--config", str(operator), AWS_ENDPOINT_URL=s3_estate.cloud.endpoint)
    assert ran.code == 0, ran.stderr
    assert "every `aws` in this file is ignored" in ran.stderr

    seen = [line.split() for line in log.read_text().splitlines()]
    dev = {verb: key for verb, place, key in seen if place == "dev"}
    prod = {key for _, place, key in seen if place == "prod"}
    assert prod == {"testing"}
    assert dev["plan"] != dev["apply"]
    assert {dev["plan"], dev["apply"]}.isdisjoint({"testing", "none"})
    assert {key for verb, _, key in seen if verb == "version"} == {"none"}
    left = b"".join(s3_estate.sandbox.bytes_left().values())
    assert dev["apply"].encode() not in left
