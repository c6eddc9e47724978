"""The ledger as an object in S3, on moto, which enforces the conditions of requests."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from driftguard.errors import OperatorError, UsageError
from tests.contract.ledger_contract import scanned
from tests.contract.shared_ledger_contract import Opened, SharedLedgerContract


@pytest.fixture
def s3(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    make_state_bucket(cloud)
    for name, value in {**cloud.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}.items():
        monkeypatch.setenv(name, value)
    return cloud.client("s3")


@pytest.fixture
def url(s3: Any) -> str:
    return f"s3://{STATE_BUCKET}/ledgers/{uuid.uuid4().hex}"


def key_of(url: str) -> str:
    return url.removeprefix(f"s3://{STATE_BUCKET}/")


class TestS3Ledger(SharedLedgerContract):
    @pytest.fixture
    def ledger(self, url: str) -> Iterator[SqlLedger]:
        ledger = open_ledger(url)
        ledger.append()  # opening alone makes no object
        yield ledger
        ledger.close()

    @pytest.fixture
    def disarm(self) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS entries_refuse_{verb}" for verb in ("update", "delete")]

    @pytest.fixture
    def opened(self, ledger: SqlLedger, url: str, s3: Any, tmp_path: Path) -> Opened:
        @contextmanager
        def engine() -> Iterator[Engine]:
            file = tmp_path / "object.db"
            file.write_bytes(zlib.decompress(s3.get_object(Bucket=STATE_BUCKET, Key=key_of(url))["Body"].read()))
            found = create_engine(f"sqlite:///{file}")
            try:
                yield found
            finally:
                found.dispose()
                s3.put_object(Bucket=STATE_BUCKET, Key=key_of(url), Body=zlib.compress(file.read_bytes()))
                with suppress(OperatorError):
                    ledger.append()  # whoever writes sees what is there now

        return engine


def test_nothing_of_a_ledger_stays_on_the_runner_and_no_lock_in_the_bucket(
    url: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ledger = open_ledger(url)
    ledger.append(scanned())
    ledger.close()
    assert list(tmp_path.iterdir()) == []
    listed = s3.list_objects_v2(Bucket=STATE_BUCKET, Prefix=key_of(url))["Contents"]
    assert [item["Key"] for item in listed] == [key_of(url)]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://no-such-bucket-here/ledger", r"s3://no-such-bucket-here/ledger was refused by S3 \(NoSuchBucket\)"),
        ("s3://bucket", r"names no object; nothing was run. Set ledger.url to s3://BUCKET/KEY"),
    ],
)
def test_a_ledger_that_cannot_be_is_one_sentence(s3: Any, url: str, sentence: str) -> None:
    with pytest.raises((OperatorError, UsageError), match=sentence):
        open_ledger(url)


def test_a_ledger_that_is_deleted_in_between_is_not_begun_anew(url: str, s3: Any) -> None:
    ledger = open_ledger(url)
    ledger.append(scanned())
    s3.delete_object(Bucket=STATE_BUCKET, Key=key_of(url))
    with pytest.raises(OperatorError, match=r"was deleted while this job used it.*Restore the object"):
        ledger.append(scanned())
    ledger.close()
