"""A slip in a model's id is told; an id that something here knows is not."""

import pytest

from openbigmodel.admin.known_models import KnownModels, with_warning

KNOWN = KnownModels(["GLM-4.6", "cogview-4"], lambda: ["Own-Model"], lambda: ["priced"])


@pytest.mark.parametrize("models", [None, [], ["glm-4.6", "GLM-4.6"], ["own-model", "PRICED", "cogview-4"]])
def test_what_is_known_is_no_slip(models: list[str] | None) -> None:
    assert KNOWN.warning(models) == ""


def test_each_slip_is_told_with_what_may_have_been_meant() -> None:
    said = KNOWN.warning(["glm-46", "priced", "qwerty"])

    assert said.startswith("Nothing here is called glm-46: ")
    assert said.count("Did you mean") == 1
    assert "Did you mean glm-4.6? Nothing here is called qwerty: " in said


def test_what_becomes_known_is_known_at_once() -> None:
    routed: list[str] = []
    known = KnownModels([], lambda: routed, list)
    assert known.warning(["m"])
    routed.append("M")
    assert not known.warning(["m"])


def test_an_answer_without_a_warning_is_as_it_was() -> None:
    assert with_warning({"id": "1"}, "") == {"id": "1"}
    assert with_warning({"id": "1"}, "Look.") == {"id": "1", "warning": "Look."}
