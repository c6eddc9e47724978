"""The report of a plan that another tool made: labels without a repository, a ledger or a baseline."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

from driftguard.errors import UsageError
from driftguard.model import Action, Decision, EnvironmentResult, ErrorKind, Fault, RunResult, Verdict
from driftguard.model.plan_document import UnreadablePlan, read_document
from driftguard.model.provider_schemas import ProviderSchemas, UnreadableSchemas
from driftguard.model.reasons import Reason
from driftguard.model.report import RunReport
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.report import run_report

MAX_BYTES: Final = 256 << 20
"""The largest plan or schema that is read; a plan of 10,000 resources has about 100 MiB."""


def classify_text(text: bytes, source: str, schemas: bytes | None = None) -> RunReport:
    """The JSON report of a plan that another tool made; S, R and D only, so there is no baseline.

    Args:
        schemas: the output of `terraform providers schema -json` in the same directory.

    Raises:
        UsageError: the text is not a plan, or the schemas are none.
    """
    for name, given in ((source, text), ("--schema", schemas or b"")):
        if len(given) > MAX_BYTES:
            raise UsageError(
                f"{name} is larger than {MAX_BYTES >> 20} MiB, which is more than is read. Nothing was run."
            )
    now = datetime.now(UTC)
    # There is no ledger here, so the digests' key lives as long as this report.
    key = secrets.token_bytes(32)
    try:
        document = read_document(text)
        known = None if schemas is None else ProviderSchemas.read(schemas)
        classification = classify(document, Evidence(has_baseline=False), key, schemas=known)
    except UnreadableSchemas as error:
        raise UsageError(f"--schema: {error}.") from None
    except UnreadablePlan as error:
        raise UsageError(f"{source}: {error}. Give the output of `terraform show -json PLANFILE`.") from None
    fault = None
    if document.partial:
        fault = Fault(ErrorKind.PARTIAL, "The plan does not cover the whole environment, so its verdict is unknown.")
    verdict = Verdict.UNKNOWN if fault else classification.verdict
    report = EnvironmentResult(
        name=source,
        path="",
        workspace="",
        verdict=verdict,
        closure_hash="",
        baseline=None,
        decision=Decision(Action.NONE, (Reason("classify_only"),)),
        classification=classification,
        fault=fault,
    )
    return run_report(RunResult("", "", "", "", now, datetime.now(UTC), (report,)))
