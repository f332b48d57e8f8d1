"""Ids find their routes in any letter case."""

import asyncio

from openbigmodel.catalog import Model
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.profiles import EMBEDDED, OPENAI, VLLM
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine


def engine(name: str) -> RemoteEngine:
    return RemoteEngine(name, Endpoint("127.0.0.1", 1), OPENAI)


def test_routes() -> None:
    one, two = engine("one"), engine("two")
    routes = {
        "GLM-A": Route(Model(id="GLM-A"), (Target(one, "a"),)),
        "glm-b": Route(Model(id="glm-b"), (Target(two, "b"),)),
    }
    registry = Registry([one, two], routes)

    assert registry.route("GLM-A") is registry.route("glm-a") is registry.route("Glm-A") is routes["GLM-A"]
    assert registry.route("GLM-B") is routes["glm-b"]
    assert registry.route("") is None
    assert registry.route("glm-c") is None
    assert [model.id for model in registry.models()] == ["GLM-A", "glm-b"]


def test_a_model_takes_what_one_of_its_engines_takes() -> None:
    one, two = engine("one"), RemoteEngine("two", Endpoint("127.0.0.1", 1), VLLM)
    blind = RemoteEngine("blind", Endpoint("127.0.0.1", 1), EMBEDDED)
    targets = [Target(each, "a") for each in (blind, one, two)]

    assert Route(Model(id="m"), (targets[0],)).takes == frozenset()
    assert Route(Model(id="m"), tuple(targets[:2])).takes == {"image_url"}
    assert Route(Model(id="m"), tuple(targets)).takes == {"image_url", "video_url"}


def test_states_and_stopping() -> None:
    registry = Registry([engine("one"), engine("two")], {})

    assert registry.states() == {("one", "ready"): 1.0, ("two", "ready"): 1.0}
    asyncio.run(registry.stop())
