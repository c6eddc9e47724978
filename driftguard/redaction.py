"""What looks like a credential: the table of shapes and names, and the functions that hide what it covers.

Terraform marks only some values as sensitive. Everything that DriftGuard prints, stores or sends is held against this
table as well. A shape is judged on its own; a name judges the value that it names. Sources of the shapes: the token
formats that the services document and the rule sets of gitleaks and detect-secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

REDACTED: Final = "(sensitive)"


@dataclass(frozen=True, slots=True)
class Secret:
    """One kind of credential that can be known by its form.

    Attributes:
        kind: what it is, in the words of the service.
        pattern: a regular expression; it has no group that captures.
        bordered: whether it counts only where a word begins, because the form also occurs inside harmless names.
    """

    kind: str
    pattern: str
    bordered: bool = False


_B64 = r"[A-Za-z0-9+/]"
_WORD = r"[A-Za-z0-9_\-]"
_HEX = r"[0-9a-f]"
_UUID = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"

SHAPES: Final = (
    # Clouds
    Secret("AWS access key id", r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])", bordered=True),
    Secret("AWS Bedrock key", rf"ABSK{_B64}{{100,}}={{0,2}}", bordered=True),
    Secret("AWS Bedrock short-term key", rf"bedrock-api-key-{_B64}{{20,}}={{0,2}}"),
    Secret("AWS MWS token", rf"amzn\.mws\.{_UUID}"),
    Secret("Google API key", rf"AIza{_WORD}{{35}}"),
    Secret("Google OAuth token", rf"ya29\.{_WORD}{{20,}}"),
    Secret("Google OAuth client secret", rf"GOCSPX-{_WORD}{{20,}}"),
    Secret("Azure AD client secret", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,34}"),
    Secret("Azure DevOps token", r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),
    Secret("Alibaba access key id", r"LTAI[A-Za-z0-9]{17,21}(?![A-Za-z0-9])", bordered=True),
    Secret("DigitalOcean token", rf"do[oprt]_v1_{_HEX}{{64}}"),
    Secret("Yandex API key", rf"AQVN{_WORD}{{35,38}}", bordered=True),
    Secret("Yandex access token", rf"t1\.[A-Z0-9a-z_\-]+={{0,2}}\.{_WORD}{{86}}={{0,2}}", bordered=True),
    Secret("Heroku key", rf"HRKU-AA{_WORD}{{50,}}"),
    Secret("Fly.io token", rf"fo1_{_WORD}{{43}}|fm[12][ar]?_{_B64}{{60,}}={{0,3}}", bordered=True),
    Secret("Scalingo token", rf"tk-us-{_WORD}{{48}}", bordered=True),
    Secret("Cloudflare origin CA key", rf"v1\.0-{_HEX}{{24}}-{_HEX}{{146}}", bordered=True),
    Secret("OpenShift token", rf"sha256~{_WORD}{{43}}"),
    # Infrastructure tools
    Secret("Terraform Cloud token", rf"[A-Za-z0-9]{{14}}\.atlasv1\.{_WORD}{{60,}}"),
    Secret("Vault token", rf"hv[sbr]\.{_WORD}{{20,}}"),
    Secret("Vault token, old", r"s\.[A-Za-z0-9]{24}(?![A-Za-z0-9_.])", bordered=True),
    Secret("Pulumi token", rf"pul-{_HEX}{{40}}"),
    Secret("Infracost key", r"ico-[A-Za-z0-9]{32}", bordered=True),
    Secret("Doppler token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._\-]{40,}", bordered=True),
    Secret("1Password service token", rf"ops_eyJ{_B64}{{50,}}={{0,3}}"),
    Secret("1Password secret key", r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    Secret("age key", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    Secret("Tailscale key", r"tskey-[a-z]+-[A-Za-z0-9]{8,}(?:-[A-Za-z0-9]{8,})?"),
    Secret("Prefect key", r"pn[ub]_[a-zA-Z0-9]{36}", bordered=True),
    Secret("PlanetScale secret", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._\-]{32,64}"),
    Secret("Supabase token", rf"sb[ps]_{_HEX}{{40}}", bordered=True),
    Secret("Databricks token", rf"dapi{_HEX}{{32}}", bordered=True),
    Secret("Octopus Deploy key", r"API-[A-Z0-9]{26,}", bordered=True),
    Secret("Harness token", r"(?:pat|sat)\.[A-Za-z0-9_\-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}", bordered=True),
    # Forges and registries
    Secret("GitHub token", r"gh[pousr]_[A-Za-z0-9]{20,}"),
    Secret("GitHub fine-grained token", r"github_pat_[A-Za-z0-9_]{20,}"),
    Secret(
        "GitLab token",
        rf"gl(?:pat|dt|rt|rtr|ptt|cbt|ft|imt|agent|oas|soat|ffct|wt)-{_WORD}{{16,}}(?:\.[0-9a-z]{{2,}})*",
    ),
    Secret("GitLab runner registration", rf"GR1348941{_WORD}{{20}}"),
    Secret("Atlassian token", r"AT(?:ATT3|CTT3)[A-Za-z0-9_\-=]{60,}|ATBB[A-Za-z0-9_=]{28,}", bordered=True),
    Secret("npm token", r"npm_[A-Za-z0-9]{30,}"),
    Secret("PyPI token", rf"pypi-AgE{_WORD}{{50,}}"),
    Secret("RubyGems key", rf"rubygems_{_HEX}{{48}}"),
    Secret("crates.io token", r"cio[a-zA-Z0-9]{32}(?![A-Za-z0-9])", bordered=True),
    Secret("Docker Hub token", rf"dckr_[po]at_{_WORD}{{20,}}"),
    Secret("NuGet key", r"oy2[a-z0-9]{43}(?![A-Za-z0-9])", bordered=True),
    Secret("Clojars token", r"CLOJARS_[A-Za-z0-9]{60}"),
    Secret("Artifactory key", r"AKCp[A-Za-z0-9]{10,}|cmVmdGtuOj[A-Za-z0-9]{40,}", bordered=True),
    Secret("SonarQube token", rf"sq[upa]_{_HEX}{{40}}", bordered=True),
    Secret("Sourcegraph token", rf"sgp_(?:{_HEX}{{16}}_|local_)?{_HEX}{{40}}", bordered=True),
    Secret("Buildkite token", rf"bk[a-z]{{2}}_{_HEX}{{40}}", bordered=True),
    Secret("CircleCI token", rf"CCIP(?:AT|RJ)_[A-Za-z0-9]{{22}}_{_HEX}{{40}}"),
    Secret("Netlify token", r"nf[pcu]_[A-Za-z0-9]{36,}", bordered=True),
    Secret("Render key", r"rnd_[A-Za-z0-9]{28,}", bordered=True),
    Secret("Postman key", rf"PMAK-{_HEX}{{24}}-{_HEX}{{34}}"),
    Secret("Snyk token", rf"snyk_(?:uat|sat)\.{_HEX}{{8}}\.[A-Za-z0-9_.\-]{{20,}}", bordered=True),
    # Chat, mail, telephony
    Secret("Slack token", r"xox[abeoprs](?:-|\.)[A-Za-z0-9.\-]{10,}|xapp-[A-Za-z0-9-]{10,}"),
    Secret("Slack webhook", r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]+"),
    Secret("Teams webhook", r"https://[a-z0-9\-]+\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/\-]+"),
    Secret("Discord webhook", rf"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/\d+/{_WORD}+"),
    Secret("Discord bot token", rf"[MNO][A-Za-z\d_\-]{{23,27}}\.{_WORD}{{6}}\.{_WORD}{{27,}}", bordered=True),
    Secret("Telegram bot token", rf"\d{{8,10}}:AA{_WORD}{{32,33}}", bordered=True),
    Secret("Twilio key", rf"SK{_HEX}{{32}}(?![0-9a-zA-Z])", bordered=True),
    Secret("SendGrid key", rf"SG\.{_WORD}{{16,}}\.{_WORD}{{16,}}", bordered=True),
    Secret("Brevo key", rf"x(?:keysib|smtpsib)-{_HEX}{{64}}-[A-Za-z0-9]{{16}}"),
    Secret("Mailgun key", rf"key-{_HEX}{{32}}(?![0-9a-zA-Z])", bordered=True),
    Secret("Mailchimp key", rf"{_HEX}{{32}}-us\d{{1,2}}(?![0-9a-zA-Z])", bordered=True),
    # Observability
    Secret("Grafana token", rf"glsa_[A-Za-z0-9]{{32}}_{_HEX}{{8}}|glc_{_B64}{{32,}}={{0,3}}"),
    Secret("New Relic key", r"NR(?:AK|II|RA|AA|JS)-[A-Za-z0-9_\-]{19,}|[a-f0-9]{36}NRAL", bordered=True),
    Secret("Dynatrace token", r"dt0[a-z]\d{2}\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}", bordered=True),
    Secret("Sentry token", rf"sntrys_eyJ{_B64}{{60,}}[A-Za-z0-9+/=_\-]*|sntryu_{_HEX}{{64}}"),
    # Payment
    Secret("Stripe key", r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}", bordered=True),
    Secret("Stripe webhook secret", r"whsec_[A-Za-z0-9+/=]{20,}", bordered=True),
    Secret("Square token", rf"EAAA{_WORD}{{60}}|sq0(?:atp|csp|idp)-{_WORD}{{22,43}}", bordered=True),
    Secret("Shopify token", r"shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{32}"),
    Secret("Flutterwave key", r"FLWSECK(?:_TEST)?-[A-Za-z0-9\-]{12,}"),
    Secret("EasyPost key", r"EZ[AT]K[A-Za-z0-9]{54}", bordered=True),
    Secret("Shippo token", rf"shippo_(?:live|test)_{_HEX}{{40}}"),
    Secret("Plaid token", rf"access-(?:sandbox|development|production)-{_UUID}", bordered=True),
    Secret("Duffel token", rf"duffel_(?:live|test)_{_WORD}{{43}}"),
    # Applications
    Secret("OpenAI key", rf"sk-(?:proj|svcacct|admin|None)-{_WORD}{{20,}}|sk-[A-Za-z0-9]{{20,}}", bordered=True),
    Secret("Anthropic key", rf"sk-ant-[a-z]+\d{{2}}-{_WORD}{{20,}}", bordered=True),
    Secret("OpenRouter key", rf"sk-or-v1-{_HEX}{{40,}}", bordered=True),
    Secret("Hugging Face token", r"(?:hf|api_org)_[A-Za-z]{30,}", bordered=True),
    Secret("Groq key", r"gsk_[A-Za-z0-9]{40,}", bordered=True),
    Secret("Perplexity key", r"pplx-[A-Za-z0-9]{40,}", bordered=True),
    Secret("Replicate token", r"r8_[A-Za-z0-9]{37,}", bordered=True),
    Secret("LangSmith key", rf"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}"),
    Secret("Airtable token", rf"pat[A-Za-z0-9]{{14}}\.{_HEX}{{64}}", bordered=True),
    Secret("Notion token", r"ntn_[0-9]{11}[A-Za-z0-9]{35}|secret_[A-Za-z0-9]{43}(?![A-Za-z0-9_])", bordered=True),
    Secret("Linear key", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}", bordered=True),
    Secret("Figma token", rf"fig[dour]_{_WORD}{{40}}", bordered=True),
    Secret("Typeform token", r"tfp_[A-Za-z0-9_\-.=]{59}", bordered=True),
    Secret("ReadMe key", r"rdme_[a-z0-9]{70}"),
    Secret("Contentful token", rf"CFPAT-{_WORD}{{43}}"),
    Secret("Adobe client secret", rf"p8e-{_WORD}{{32}}", bordered=True),
    Secret("Adafruit key", r"aio_[A-Za-z]{4}[A-Za-z0-9]{24}", bordered=True),
    Secret("MaxMind key", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    Secret("Facebook token", r"EAA[A-Za-z]{2}[A-Za-z0-9]{60,}", bordered=True),
    Secret("Dropbox token", rf"sl\.(?:u\.)?{_WORD}{{100,}}", bordered=True),
    # Forms that belong to no service
    Secret("JSON web token", rf"eyJ{_WORD}{{8,}}\.{_WORD}{{8,}}\.{_WORD}*", bordered=True),
    Secret(
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\s\S]*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)",
    ),
    Secret("PuTTY private key", r"PuTTY-User-Key-File-\d:[\s\S]*?(?:Private-MAC: *[0-9a-f]+|\Z)"),
    Secret("URL with a password", r"[a-zA-Z][a-zA-Z0-9+.\-]{0,30}://[^/\s:@\"']*:[^/\s@\"']+@", bordered=True),
    Secret(
        "signed URL",
        r"(?i:[?&;](?:sig|x-amz-signature|x-amz-security-token|x-goog-signature|signature)=[A-Za-z0-9%+/=_\-.]{16,})",
    ),
    Secret(
        "named value",  # NAME=VALUE and "name": "value" inside longer text, such as a script or JSON that is escaped
        r"(?i:(?:password|passwd|passphrase|pwd|secret|token|api_?key|account_?key|shared_?access_?key|access_?key"
        r"|private_?key|connection_?string)"
        r"(?:\\*[\"'])?\s*(?:=>|:=|[=:])\s*(?:\\*[\"'][^\"'\\]{3,}|[^\s;,&\"'\\]{4,}))",
    ),
    Secret("command line option", r"(?i:--(?:password|passwd|token|secret|api-key|auth-token)[ =]+[^\s\"'\\]{4,})"),
    Secret(
        "authorization header", r"(?i:(?:bearer|basic)\s+(?=[A-Za-z_\-.=+/]*\d)[A-Za-z0-9_\-.=+/]{16,})", bordered=True
    ),
)

# A word begins here: no letter, digit, `_` or `-` stands before it, or what stands before it is an escape such as `\n`.
_BORDER: Final = r"(?:(?<![A-Za-z0-9_\-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_SECRET_VALUE: Final = re.compile(
    "|".join(f"(?:{shape.pattern})" for shape in SHAPES if not shape.bordered)
    + f"|{_BORDER}(?:{'|'.join(f'(?:{shape.pattern})' for shape in SHAPES if shape.bordered)})"
)

# Words that mark a name as the name of a credential.
_CREDENTIAL: Final = re.compile(
    r"(?:^|_)(?:pass(?:wd|word|words|phrase)?|pwd|secret|token|(?:access|api|auth|bearer|secret)_tokens|api_?key|access_?key|private_?key|credentials?"
    r"|connection_?string|encryption_?key|pre_?shared_?key|psk|bearer|auth|dsn|signing_?key|account_?key)(?:$|_)"
    r"|password|passwd|passphrase|apikey|accesskey|privatekey|clientsecret|secretkey|secretaccesskey|authtoken"
    r"|connectionstring|presharedkey"
)
# Endings of names that refer to a credential, describe it or set how it is handled.
_DESCRIBES: Final = re.compile(
    r"_(?:arns?|ids?|names?|versions?|enabled|disabled|length|polic(?:y|ies)|types?|ttl|days|rotation|required|specs?"
    r"|algorithm|usage|status|urls?|uri|endpoint|domains?|duration|validity|validity_(?:units|period)|only|count|fields?"
    r"|param|parameter|source|expression|mode|mechanism|scheme|strateg(?:y|ies)|flows?|factors|config|configs"
    r"|configurations?|settings|options?|list|age|size|reuse_prevention|properties|provider|providers|issuer"
    r"|issuer_configuration|request|session_validity|challenge|challenge_response|capacity|files?|path|at|generation"
    r"|selection|check|encryption|encrypted|validation|tls_auth|on_all_instances|header_value|keys|chain|format|prefix"
    r"|region|role|scope|scopes|supported|location|lifetime|expiry|expiration|expires|created|public|hint|method|methods|storage"
    r"|class|kind|set|store|manager|manager_arn|bytes|per_second|limit|quota|minimum|maximum|retries|timeout|state)$"
    r"|token_bucket|public_key"
)
# How a name begins that is a switch, not a value.
_SWITCH: Final = re.compile(
    r"^(?:enable|disable|manage|has|is|use|skip|allow|allowed|access_control|expire|return|force|generate|get|require"
    r"|requires|needs|define|create|verify|rotate|compromised|default|selective|custom|server_side|explicit"
    r"|certificate_based|image_pull|max|min|pre|trusted|pass|kms|volume|parent|connection_password)_"
)
# Tokens that make a request idempotent or name a page or a version, and `auth` in the name of a way to authenticate.
_HARMLESS: Final = re.compile(
    r"(?:^|_)(?:client|creation|request|sync|lock|update|version|next|max|idempotency|idempotent|change|page|paging"
    r"|pagination|continuation|start|starting|sequence|invalidation|refresh_page|resume|cursor)(?:_request)?_tokens?$"
    r"|^(?:next|max)token$|(?:^|_)(?:basic|bgp|iam|sasl_scram_\d+|selective|oauth2?|mutual|mtls|tls|client)_auth$"
)


def looks_secret_name(name: str) -> bool:
    """Whether a value with this name (an attribute's, a variable's, a map key's) counts as a credential."""
    return _judged(name[-200:])


@lru_cache(maxsize=4096)
def _judged(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+", "_", name).lower().strip("_")
    if not _CREDENTIAL.search(words):
        return False
    return not (_DESCRIBES.search(words) or _SWITCH.search(words) or _HARMLESS.search(words))


def looks_secret_text(text: str) -> bool:
    """Whether a text holds something that has the shape of a credential."""
    return _SECRET_VALUE.search(text) is not None


# Credentials in a URL's userinfo, with or without a password part; kept apart because plain
# `user@host` without a scheme is an ordinary e-mail address or SSH remote.
_USERINFO: Final = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.\-]{0,30}://)(?P<userinfo>[^/\s@\"']+)@")


def mask(text: str) -> str:
    """Free text (a log line, a diagnostic, a URL) with every shape of a credential replaced."""
    text = _USERINFO.sub(lambda m: f"{m['scheme']}{REDACTED}@", text)
    return _SECRET_VALUE.sub(REDACTED, text)
