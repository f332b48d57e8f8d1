"""Which route serves a model's id, under which name, and for whom."""

import pytest

from openbigmodel.auth.api_keys import Principal
from openbigmodel.auth.restrictions import read_restrictions
from openbigmodel.catalog import load_catalog
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.profiles import OPENAI
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.errors import ApiError
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.model_route import find_route, name_in_reply

ENGINE = RemoteEngine("gpu", Endpoint("127.0.0.1", 1), OPENAI)
CATALOG = load_catalog()
SERVED = [model for model in CATALOG if model.id in ("glm-4.7", "glm-5.3-flash")]
REGISTRY = Registry([ENGINE], {model.id: Route(model, (Target(ENGINE, "x"),)) for model in SERVED})
ANYBODY = Principal("account", "key")
LIMITED = Principal("account", "key", restrictions=read_restrictions(["glm-5.3-flash"], None, None))


def caller(principal: Principal = ANYBODY, *, coding: bool = False) -> Caller:
    return Caller(principal, Surface("/base", coding=coding), "/path", "en")


def test_a_name_is_found_in_any_letter_case_and_told_as_it_was_written() -> None:
    who = caller()
    route = find_route(REGISTRY, who, "GLM-4.7")
    assert route.model.id == "glm-4.7"
    assert name_in_reply(route.model, "GLM-4.7", who) == "GLM-4.7"


def test_an_unknown_model_is_1211() -> None:
    with pytest.raises(ApiError) as caught:
        find_route(REGISTRY, caller(), "glm-4.6")
    assert caught.value.code == "1211"


def test_the_coding_base_answers_with_the_successor_under_its_own_name() -> None:
    who = caller(coding=True)
    route = find_route(REGISTRY, who, "glm-4.7")
    assert route.model.id == "glm-5.3-flash"
    assert name_in_reply(route.model, "glm-4.7", who) == "glm-5.3-flash"
    assert name_in_reply(route.model, "GLM-5.3-Flash", who) == "GLM-5.3-Flash"


def test_a_key_is_judged_by_the_model_that_answers() -> None:
    with pytest.raises(ApiError) as caught:
        find_route(REGISTRY, caller(LIMITED), "glm-4.7")
    assert caught.value.code == "1220"
    assert find_route(REGISTRY, caller(LIMITED, coding=True), "glm-4.7").model.id == "glm-5.3-flash"
