import json

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.body import BodyWriter
from openbigmodel.inference.anthropic.stream import StreamWriter
from openbigmodel.inference.dialect import Dialect
from tests.unit.inference.anthropic.messages_bench import asked, dialect, tool_result, user, writer


def test_it_is_a_dialect() -> None:
    speaks: Dialect = dialect()
    assert speaks.name == "anthropic"


def test_who_writes_the_reply() -> None:
    assert isinstance(writer(stream=True), StreamWriter)
    assert isinstance(writer(), BodyWriter)


def test_an_error_on_the_wire() -> None:
    status, lines, body = dialect().error(ApiError("1305", retry_after_s=3), "en", "20260101")
    assert status == 529
    assert lines == b"request-id: 20260101\r\nx-should-retry: true\r\nretry-after: 3\r\n"
    assert json.loads(body)["request_id"] == "20260101"


def test_an_error_about_a_request_that_was_read_names_its_fields() -> None:
    request = asked(messages=[user(tool_result("c")), user("b")])
    error = ApiError("1213", field="messages[0].content")
    _, _, body = dialect().error(error, "en", "id", request)
    assert "messages.0.content.0 " in json.loads(body)["error"]["message"]
    _, _, body = dialect().error(ApiError("1213", field="stop"), "en", "id")
    assert "stop_sequences" in json.loads(body)["error"]["message"]
