"""The table of credentials: each row finds its kind, and no harmless identifier is taken for one."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

import botocore
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.redaction import SHAPES, looks_secret_name, looks_secret_text, mask
from driftguard.sealed import REDACTED, Sealed, reveal

FIXTURES = Path(__file__).parents[1] / "fixtures" / "identifiers"
LOWER, UPPER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
ALNUM, HEX = LOWER + UPPER + DIGITS, DIGITS + "abcdef"
CHANCE = random.Random(20)


def some(alphabet: str, count: int) -> str:
    """Made at run time, so that no scanner of repositories takes the source for a leak."""
    return "".join(CHANCE.choice(alphabet) for _ in range(count))


def uuid() -> str:
    return "-".join(some(HEX, n) for n in (8, 4, 4, 4, 12))


def an(n: int) -> str:
    return some(ALNUM, n)


def hx(n: int) -> str:
    return some(HEX, n)


# Each row of the table, with the forms in which its kind occurs.
EXAMPLES: dict[str, list[str]] = {
    "AWS access key id": [prefix + some(UPPER + DIGITS, 16) for prefix in ("AKIA", "ASIA", "ABIA", "ACCA", "A3TX")],
    "AWS Bedrock key": ["ABSK" + an(130)],
    "AWS Bedrock short-term key": ["bedrock-api-" + "key-" + an(60)],
    "AWS MWS token": ["amzn." + "mws." + uuid()],
    "Google API key": ["AI" + "za" + an(35)],
    "Google OAuth token": ["ya" + "29." + an(60)],
    "Google OAuth client secret": ["GOC" + "SPX-" + an(28)],
    "Azure AD client secret": [an(3) + "8Q~" + an(34)],
    "Azure DevOps token": [an(76) + "AZDO" + an(4)],
    "Alibaba access key id": ["LT" + "AI" + an(20)],
    "DigitalOcean token": [f"do{kind}_v1_" + hx(64) for kind in "oprt"],
    "Yandex API key": ["AQ" + "VN" + an(36)],
    "Yandex access token": ["t1." + some(UPPER, 20) + "." + an(86)],
    "Heroku key": ["HRKU" + "-AA" + an(58)],
    "Fly.io token": ["fo1_" + an(43), "fm2_" + an(100)],
    "Scalingo token": ["tk-us-" + an(48)],
    "Cloudflare origin CA key": ["v1.0-" + hx(24) + "-" + hx(146)],
    "OpenShift token": ["sha256~" + an(43)],
    "Terraform Cloud token": [an(14) + ".atlas" + "v1." + an(67)],
    "Vault token": [f"hv{kind}." + an(90) for kind in "sbr"],
    "Vault token, old": ["s." + an(24)],
    "Pulumi token": ["pul-" + hx(40)],
    "Infracost key": ["ico-" + an(32)],
    "Doppler token": ["dp.pt." + an(43), "dp.st.prd." + an(43)],
    "1Password service token": ["ops_" + "eyJ" + an(250)],
    "1Password secret key": [
        "A3-" + "-".join(some(UPPER + DIGITS, n) for n in (6, 11, 5, 5, 5)),
        "A3-" + "-".join(some(UPPER + DIGITS, n) for n in (6, 6, 5, 5, 5, 5)),
    ],
    "age key": ["AGE-SECRET-" + "KEY-1" + some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)],
    "Tailscale key": ["tskey-auth-" + an(12) + "-" + an(32)],
    "Prefect key": ["pnu_" + an(36)],
    "PlanetScale secret": [f"pscale_{kind}_" + an(43) for kind in ("tkn", "pw", "oauth")],
    "Supabase token": ["sbp_" + hx(40)],
    "Databricks token": ["dapi" + hx(32)],
    "Octopus Deploy key": ["API-" + some(UPPER + DIGITS, 26)],
    "Harness token": ["pat." + an(22) + "." + hx(24) + "." + an(20)],
    "GitHub token": [f"gh{kind}_" + an(36) for kind in "pousr"],
    "GitHub fine-grained token": ["github_" + "pat_" + an(82)],
    "GitLab token": [
        f"gl{kind}-" + an(24) for kind in ("pat", "dt", "rt", "ptt", "cbt", "ft", "imt", "agent", "soat", "ffct")
    ],
    "GitLab runner registration": ["GR" + "1348941" + an(20)],
    "Atlassian token": ["ATAT" + "T3" + an(180), "AT" + "BB" + an(32), "ATCT" + "T3" + an(100)],
    "npm token": ["np" + "m_" + an(36)],
    "PyPI token": ["py" + "pi-AgEIcHlwaS5vcmc" + an(70), "pypi-" + "AgENdGVzdC5weXBpLm9yZw" + an(70)],
    "RubyGems key": ["rubygems_" + hx(48)],
    "crates.io token": ["cio" + an(32)],
    "Docker Hub token": ["dckr_" + "pat_" + an(27), "dckr_" + "oat_" + an(32)],
    "NuGet key": ["oy2" + some(LOWER + DIGITS, 43)],
    "Clojars token": ["CLOJ" + "ARS_" + an(60)],
    "Artifactory key": ["AKC" + "p" + an(69), "cmVm" + "dGtuOj" + an(59)],
    "SonarQube token": [f"sq{kind}_" + hx(40) for kind in "upa"],
    "Sourcegraph token": ["sgp_" + hx(16) + "_" + hx(40), "sgp_" + hx(40), "sgp_local_" + hx(40)],
    "Buildkite token": ["bkua_" + hx(40)],
    "CircleCI token": ["CCI" + "PAT_" + an(22) + "_" + hx(40)],
    "Netlify token": ["nfp_" + an(36)],
    "Render key": ["rnd_" + an(28)],
    "Postman key": ["PM" + "AK-" + hx(24) + "-" + hx(34)],
    "Snyk token": ["snyk_uat." + hx(8) + "." + an(60)],
    "Slack token": ["xo" + f"x{kind}-" + some(DIGITS, 12) + "-" + an(24) for kind in "abeoprs"]
    + ["xa" + "pp-1-A" + an(40), "xo" + "xe.xoxp-1-" + an(60)],
    "Slack webhook": [f"https://hooks.slack.com/{kind}/T" + an(8) + "/B" + an(8) for kind in ("services", "workflows")],
    "Teams webhook": [f"https://acme.webhook.office.com/webhookb2/{uuid()}@{uuid()}/IncomingWebhook/{hx(32)}/{uuid()}"],
    "Discord webhook": ["https://discord.com/api/webhooks/" + some(DIGITS, 18) + "/" + an(68)],
    "Discord bot token": ["M" + an(25) + "." + an(6) + "." + an(38)],
    "Telegram bot token": [some(DIGITS, 10) + ":AA" + an(33)],
    "Twilio key": ["S" + "K" + hx(32)],
    "SendGrid key": ["S" + "G." + an(22) + "." + an(43)],
    "Brevo key": ["xkey" + "sib-" + hx(64) + "-" + an(16), "xsmtp" + "sib-" + hx(64) + "-" + an(16)],
    "Mailgun key": ["key-" + hx(32)],
    "Mailchimp key": [hx(32) + "-us12"],
    "Grafana token": ["glsa_" + an(32) + "_" + hx(8), "glc_" + an(80)],
    "New Relic key": ["NR" + "AK-" + some(UPPER + DIGITS, 27), "NR" + "JS-" + hx(19), hx(36) + "NRAL"],
    "Dynatrace token": ["dt0" + "c01." + some(UPPER + DIGITS, 24) + "." + some(UPPER + DIGITS, 64)],
    "Sentry token": ["sntrys_" + "eyJ" + an(120), "sntryu_" + hx(64)],
    "Stripe key": [f"{kind}_{mode}_" + an(24) for kind in ("sk", "rk") for mode in ("live", "test")],
    "Stripe webhook secret": ["whsec_" + an(32)],
    "Square token": ["EA" + "AA" + an(60), "sq0" + "atp-" + an(22), "sq0" + "csp-" + an(43)],
    "Shopify token": [f"shp{kind}_" + hx(32) for kind in ("at", "ss", "ca", "pa")],
    "Flutterwave key": ["FLW" + "SECK_TEST-" + hx(32) + "-X"],
    "EasyPost key": ["EZ" + "AK" + an(54), "EZ" + "TK" + an(54)],
    "Shippo token": ["shippo_" + "live_" + hx(40)],
    "Plaid token": ["access-" + "sandbox-" + uuid()],
    "Duffel token": ["duffel_" + "test_" + an(43)],
    "OpenAI key": ["sk-" + "proj-" + an(60), "sk-" + an(20) + "T3Blbk" + "FJ" + an(20), "sk-svcacct-" + an(60)],
    "Anthropic key": ["sk-" + "ant-api03-" + an(93)],
    "OpenRouter key": ["sk-" + "or-v1-" + hx(64)],
    "Hugging Face token": ["hf" + "_" + some(LOWER + UPPER, 34), "api_" + "org_" + some(LOWER, 34)],
    "Groq key": ["gs" + "k_" + an(52)],
    "Perplexity key": ["pp" + "lx-" + an(48)],
    "Replicate token": ["r8" + "_" + an(37)],
    "LangSmith key": ["lsv2_" + "pt_" + hx(32) + "_" + hx(10)],
    "Airtable token": ["pat" + an(14) + "." + hx(64)],
    "Notion token": ["ntn_" + some(DIGITS, 11) + an(35), "secret" + "_" + an(43)],
    "Linear key": ["lin_" + "api_" + an(40)],
    "Figma token": ["fig" + "d_" + an(40)],
    "Typeform token": ["tf" + "p_" + an(59)],
    "ReadMe key": ["rd" + "me_" + some(LOWER + DIGITS, 70)],
    "Contentful token": ["CF" + "PAT-" + an(43)],
    "Adobe client secret": ["p8" + "e-" + an(32)],
    "Adafruit key": ["ai" + "o_" + some(LOWER, 4) + an(24)],
    "MaxMind key": [an(6) + "_" + an(29) + "_mmk"],
    "Facebook token": ["EA" + "ACE" + an(100)],
    "Dropbox token": ["sl." + an(135)],
    "JSON web token": ["eyJ" + an(20) + ".eyJ" + an(60) + "." + an(43)],
    "private key": [
        f"-----BEGIN {kind}PRIVATE " + f"KEY-----\n{an(64)}\n{an(64)}\n-----END {kind}PRIVATE KEY-----"
        for kind in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")
    ]
    + [
        "-----BEGIN PGP PRIVATE " + f"KEY BLOCK-----\n\n{an(64)}\n-----END PGP PRIVATE KEY BLOCK-----",
        "-----BEGIN PRIVATE " + f"KEY-----\\n{an(64)}\\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE " + f"KEY-----\n{an(64)}",
    ],
    "PuTTY private key": [f"PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{an(64)}\nPrivate-MAC: {hx(64)}"],
    "URL with a password": [f"postgresql://app:{an(12)}@db/app", f"https://u:{an(9)}@x.db.example"],
    "signed URL": [f"?sv=2020&sig={an(30)}%3D", f"?X-Amz-Signature={hx(64)}", f"&X-Amz-Security-Token={an(80)}"],
    "named value": [
        f"AccountKey={an(40)}==",
        f"SharedAccessKey={an(40)}=",
        f"Server=db;Password={an(9)};",
        f"aws_secret_access_key = {an(40)}",
        f'api_key: "{an(20)}"',
        f"export DB_PASSWORD='{an(9)}'",
        f'\\"secret\\": \\"{an(9)}\\"',
        f":password => '{an(9)}'",
    ],
    "command line option": [f"--password {an(9)}", f"--token={an(20)}"],
    "authorization header": [f"Authorization: Bearer {an(30)}7", f"Basic {an(24)}7=="],
}


def forms() -> Iterator[tuple[str, str]]:
    return ((kind, example) for kind, examples in EXAMPLES.items() for example in examples)


def test_each_row_has_an_example_and_each_example_a_row() -> None:
    assert [shape.kind for shape in SHAPES] == list(EXAMPLES)
    assert len(SHAPES) >= 60


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_each_row_finds_its_kind_by_itself(shape: object) -> None:
    for example in EXAMPLES[shape.kind]:  # type: ignore[attr-defined]
        assert re.search(shape.pattern, example), example  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "example"), list(forms()))
def test_a_credential_is_hidden_wherever_it_stands(kind: str, example: str) -> None:
    secret = max(re.split(r"[^A-Za-z0-9]", example), key=len)  # the longest part that only chance can repeat
    for text in (
        example,
        f"before {example} after",
        f"KEY={example}",
        f'{{"k": "{example}"}}',
        f"line\\n{example}",
        f"a%3D{example}",
        f"x: {example},",
        f"({example})",
    ):
        assert secret not in mask(text), kind
        assert looks_secret_text(text), kind
    assert reveal(Sealed({"description": [example]}), "x") == {"description": [REDACTED]}


@pytest.mark.parametrize(
    "text",
    [
        "gp3-disk-encryption-policy-eu",
        "task-instruction-category-non-compliance",
        "risk-assessment-and-management-plan-2026",
        "desk-0123456789abcdef-eu",
        "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sgr-0123456789abcdef0",
        "https://registry.example.org/v2/app:1.2.3@sha256:0123",
        "someone@example.org",
        "git@github.com:acme/infra.git",
        "basic internationalization",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "password_policy",
        "pat.example.org",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert mask(text) == text
    assert reveal(Sealed(text), "description") == text


def identifiers_of_the_provider() -> list[str]:
    return (FIXTURES / "aws_provider.txt").read_text().split()


def identifiers_of_botocore(services: int) -> set[str]:
    found: set[str] = set()
    for file in sorted((Path(botocore.__file__).parent / "data").rglob("service-2.json*"))[::7][:services]:
        raw = file.read_bytes()
        model = msgspec.json.decode(gzip.decompress(raw) if file.suffix == ".gz" else raw)
        for name, shape in model["shapes"].items():
            found |= {name, *shape.get("members", {}), *shape.get("enum", [])}
    return found


def test_no_identifier_of_the_cloud_has_the_shape_of_a_credential() -> None:
    harmless = [*identifiers_of_the_provider(), *identifiers_of_botocore(60)]
    assert len(harmless) > 20_000
    assert [name for name in harmless if mask(name) != name or looks_secret_text(name)] == []


def test_the_attributes_of_the_provider_whose_values_are_hidden_are_the_reviewed_ones() -> None:
    """Each of these holds a credential, or blocks and lists that do; a new one is looked at before it is added."""
    names = [name for name in identifiers_of_the_provider() if not name.startswith("aws_")]
    hidden = [name for name in names if looks_secret_name(name)]
    assert "\n".join(hidden) + "\n" == (FIXTURES / "aws_provider_hidden.txt").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "http_tokens",
        "next_token",
        "client_request_token",
        "manage_master_user_password",
        "password_length",
        "kms_key_id",
        "token_validity_units",
        "auth_type",
        "secretsmanager_secret_arn",
        "enable_basic_auth",
        "pathway",
    ],
)
def test_a_name_that_only_speaks_of_credentials_hides_nothing(name: str) -> None:
    assert not looks_secret_name(name)


@given(
    st.sampled_from(["password", "token", "secret", "api_key", "private_key", "client_secret", "auth_token"]),
    st.sampled_from(["", "db", "prod_db", "DB", "github"]),
    st.sampled_from(["", "prod", "v2", "base", "value", "wo"]),
    st.sampled_from(["snake", "upper", "camel", "kebab"]),
)
def test_a_credentials_name_hides_in_every_spelling(noun: str, before: str, after: str, spelling: str) -> None:
    words = [word for word in (before, noun, after) if word]
    name = "_".join(words).lower()
    if spelling == "upper":
        name = name.upper()
    elif spelling == "kebab":
        name = name.replace("_", "-")
    elif spelling == "camel":
        name = "".join(part.title() for part in name.split("_"))
    assert looks_secret_name(name), name
