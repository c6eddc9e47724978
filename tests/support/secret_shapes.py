"""Made-up credentials in the shapes that secret scanners know, a new one of each shape for each seed.

They are made at run time, so that no scanner of repositories takes the source for a leak.
"""

from __future__ import annotations

import random
import re
import string

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM, HEX = LOWER + UPPER + DIGITS, DIGITS + "abcdef"


class Chance:
    """Random parts of credentials."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def some(self, alphabet: str, count: int) -> str:
        return "".join(self._random.choice(alphabet) for _ in range(count))

    def an(self, count: int) -> str:
        return self.some(ALNUM, count)

    def hx(self, count: int) -> str:
        return self.some(HEX, count)

    def uuid(self) -> str:
        return "-".join(self.hx(count) for count in (8, 4, 4, 4, 12))


def examples(seed: int) -> dict[str, list[str]]:
    """Each row of the table of credentials, with the forms in which its kind occurs."""
    chance = Chance(seed)
    some, an, hx, uuid = chance.some, chance.an, chance.hx, chance.uuid
    return {
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
        "Slack webhook": [
            f"https://hooks.slack.com/{kind}/T" + an(8) + "/B" + an(8) for kind in ("services", "workflows")
        ],
        "Teams webhook": [
            f"https://acme.webhook.office.com/webhookb2/{uuid()}@{uuid()}/IncomingWebhook/{hx(32)}/{uuid()}"
        ],
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


def distinct_part(secret: str) -> str:
    """The longest part of a credential that only chance can repeat."""
    return max(re.split(r"[^A-Za-z0-9]", secret), key=len)
