import asyncio
import io
import json
import os

import pytest

from openbigmodel.api.callers import Callers
from openbigmodel.auth.api_keys import Authenticator
from openbigmodel.errors import ApiError, Language
from openbigmodel.ids import IdSource
from openbigmodel.telemetry import Metrics, RequestLog
from tests.unit.api.api_bench import OPERATOR, USER, Keys


def callers(log: io.StringIO | None = None, language: Language = "zh") -> Callers:
    request_log = RequestLog(log or io.StringIO(), as_json=True)
    ids = IdSource(lambda: 0.0, os.urandom)
    return Callers(
        Authenticator(Keys()), request_log, Metrics(), ids, default_language=language, now_s=lambda: 0.5
    )


def test_who_is_calling() -> None:
    assert callers().authenticate(f"Bearer {USER}".encode()).api_key_id == USER.id
    assert callers().authenticate(str(OPERATOR).encode()).operator
    with pytest.raises(ApiError, match="1001: "):
        callers().authenticate(None)


def test_the_language_of_those_who_name_none() -> None:
    assert callers().language(None) == "zh"
    assert callers(language="en").language(None) == "en"
    assert callers(language="en").language(b"zh-CN") == "zh"


def test_a_refusal_is_noted_without_the_credential() -> None:
    log = io.StringIO()
    known = callers(log)

    async def note() -> None:
        error = ApiError("1000")
        log_id = known.note("/v1/models", error.status, error.code)
        assert log_id.startswith("19700101080000")
        known._request_log.flush()

    asyncio.run(note())
    record = json.loads(log.getvalue())
    assert record.pop("id").startswith("19700101080000")
    assert record == {"time": "1970-01-01T00:00:00.500Z", "path": "/v1/models", "status": 401, "code": "1000"}
    assert (
        b'bigmodel_requests_total{code="1000",engine="",model="",status="401"} 1.0' in known._metrics.render()
    )
