"""What the suite's engine is told, and that the real one can be told it."""

from openbigmodel.cli.conformance_backend import ScriptedBackend
from openbigmodel.conformance.backend import Asked, Backend, Says
from openbigmodel.conformance.engine_shapes import UPSTREAMS


def test_an_answer_is_json_that_ends_well_unless_told_otherwise() -> None:
    assert Says() == Says(status=200, content_type="application/json", pieces=(), ending="end", pause_s=0.0)


def test_the_scripted_engine_is_one() -> None:
    backend: Backend = ScriptedBackend(UPSTREAMS["glm"])
    backend.say("x", lambda _: Says())
    asked: list[Asked] = backend.asked("x")
    assert asked == []
