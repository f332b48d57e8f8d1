"""Who counts a prompt: the first engine of the model that can, and nobody of them for images."""

from openbigmodel.engines.fake_script import Reset, Step, json_answer
from openbigmodel.engines.profiles import VLLM
from openbigmodel.engines.registry import Route
from openbigmodel.inference.anthropic.count_tokens import CountedBy, count_tokens
from openbigmodel.inference.chat_request import Surface
from tests.unit.inference.anthropic.messages_bench import body, dialect
from tests.unit.inference.pipeline_bench import Bench, run


def counted(*scripts: list[Step], media: int = 0) -> tuple[int, CountedBy, int]:
    """The count, who has counted, and how many requests the engine has had."""
    found: list[tuple[int, CountedBy, int]] = []

    async def test(bench: Bench) -> None:
        route = bench.pipeline.registry.route("glm-4.6")
        assert route is not None
        twice = Route(route.model, (*route.targets, *route.targets))
        asked = dialect().read_to_count(body(max_tokens=None))
        asked.extra.media = media
        count, by = await count_tokens(asked, twice, Surface(prefix=""))
        found.append((count, by, len(bench.engine.requests)))

    run(test, *scripts, profile=VLLM)
    return found[0]


def test_the_first_that_can() -> None:
    assert counted(json_answer(200, {"count": 7})) == (7, "engine", 1)


def test_the_next_when_the_first_cannot() -> None:
    assert counted([Reset()], json_answer(200, {"count": 7})) == (7, "engine", 2)


def test_nobody() -> None:
    count, by, asked = counted([Reset()], json_answer(200, {"nothing": 7}))
    assert (by, asked) == ("estimate", 2)
    assert 1 <= count <= 20


def test_images_are_not_fetched_to_be_counted() -> None:
    count, by, asked = counted(media=1)
    assert (by, asked) == ("estimate", 0)
    assert count > 1000
