"""A remote engine's health as requests and probes show it, its profile, and whose credential it shows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Gate, Reply, error_answer
from openbigmodel.engines.probing import Found, Prober
from openbigmodel.engines.profiles import GLM, OPENAI, Profile
from openbigmodel.engines.remote import CHAT_PATH, RemoteEngine, endpoint_of
from openbigmodel.engines.signer import Signer
from tests.unit.engines.engine_listener import Listener, run, until


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://gpu:8000/v1", Endpoint("gpu", 8000)),
        ("http://gpu:8000/v1/", Endpoint("gpu", 8000)),
        ("http://gpu", Endpoint("gpu", 80, path="")),
        (
            "https://open.bigmodel.cn/api/paas/v4",
            Endpoint("open.bigmodel.cn", 443, tls=True, path="/api/paas/v4"),
        ),
        ("http://[::1]:9/v1", Endpoint("::1", 9)),
    ],
)
def test_base_urls(url: str, endpoint: Endpoint) -> None:
    assert endpoint_of(url, "") == endpoint


def test_the_key_goes_along() -> None:
    assert endpoint_of("http://gpu/v1", "secret").api_key == "secret"


@pytest.mark.parametrize(
    "url",
    ["", "gpu:8000", "ftp://gpu/v1", "http://", "http://:80/v1", "http://gpu:port/v1", "http://[::1/v1"],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  urlsplit's own words, too
        endpoint_of(url, "")


def test_without_a_prober_it_is_simply_there() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(Reply().body(), error_answer(401, "no"))
            engine = RemoteEngine("gpu", fake.endpoint, OPENAI)
            await engine.start()
            assert (engine.name, engine.kind, engine.state) == ("gpu", "openai", "ready")
            listener = Listener()
            engine.post(CHAT_PATH, b"{}", listener)
            assert b"Hello, world" in await listener.body()
            await said(engine)
            assert engine.state == "ready"
            await engine.stop()
            await until(lambda: not fake.clients)

    run(test())


async def said(engine: RemoteEngine, path: str = CHAT_PATH, key: str | None = None) -> Listener:
    listener = Listener()
    engine.post(path, b"{}", listener, key)
    await listener.outcome()
    return listener


class Watched:
    """An engine that is probed, with a clock that the test moves."""

    def __init__(self, endpoint: Endpoint, profile: Profile = OPENAI, **more: Any) -> None:
        self.time_s = 0.0
        self.told: list[str] = []
        self.remarks: list[str] = []
        self.engine = RemoteEngine(
            "gpu",
            endpoint,
            profile,
            prober=Prober(endpoint, identify=True),
            report=lambda state, reason: self.told.append(f"{state}: {reason}"),
            remark=self.remarks.append,
            monotonic_s=lambda: self.time_s,
            chance=lambda: 0.0,
            first_pause_s=0.01,
            **{"idle_look_s": 3600.0, **more},
        )


def watched(test: Callable[[FakeEngine, Watched], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with FakeEngine() as fake:
            found = Watched(fake.endpoint, **more)
            try:
                await test(fake, found)
            finally:
                await found.engine.stop()

    run(whole())


def owned_by(owner: str, **more: Any) -> tuple[int, Any]:
    return 200, {"data": [{"id": "glm", "owned_by": owner, **more}]}


def test_at_the_start_it_is_looked_at_and_found_out() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = owned_by("vllm", max_model_len=4096)
        assert found.engine.state == "starting"
        await found.engine.start()

        assert (found.engine.state, found.engine.profile.name) == ("ready", "vllm")
        assert found.engine.profile.context_tokens == 4096
        assert found.engine.profile.running_usage
        assert found.told == ["ready: profile vllm"]
        # Healthy engines are left alone.
        assert len(fake.probes) == 1 and found.engine._watching is None

    watched(test)


def test_what_the_settings_say_stays_true_of_the_profile_that_was_found() -> None:
    def fit(profile: Profile) -> Profile:
        return msgspec.structs.replace(profile, max_output_tokens=7)

    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = owned_by("llamacpp")
        assert found.engine.profile.max_output_tokens == 7
        await found.engine.start()

        assert (found.engine.profile.name, found.engine.profile.max_output_tokens) == ("llama-server", 7)
        # Its connections are not used twice.
        assert b"Connection: close" in found.engine._pool.request_head(CHAT_PATH, 0)

    watched(test, fit=fit)


def test_an_engine_that_is_away_is_found_when_it_comes_back_and_may_be_another() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = (503, {})
        await found.engine.start()
        assert (found.engine.state, found.engine.profile.name) == ("unreachable", "openai")
        fake.pages["/v1/models"] = owned_by("sglang")
        await until(lambda: found.engine.state == "ready")

        assert found.engine.profile.name == "sglang"
        assert [line.partition(":")[0] for line in found.told] == ["unreachable", "ready"]

    watched(test)


def test_a_connection_that_cannot_be_made_is_news() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        port = fake.endpoint.port
        await fake.stop()
        assert "cannot connect" in await (await said(found.engine)).failure()
        assert found.engine.state == "unreachable"
        assert len(found.told) == 2
        await fake.start(port=port)
        await until(lambda: found.engine.state == "ready")

    watched(test)


def test_a_request_that_is_answered_shows_at_once_that_it_is_back() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = (503, {})
        await found.engine.start()
        fake.play(error_answer(429, "busy"))
        await said(found.engine)
        assert found.engine.state == "ready"

    watched(test)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415])
def test_a_refused_request_is_told_loudly_and_once(status: int) -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(status, "no"), error_answer(status, "no"))
        await said(found.engine)
        await said(found.engine)

        assert found.engine.state == "refused"
        assert len(found.told) == 2
        assert f"answers {status}: are api_key, base_url and target right?" in found.told[1]

    watched(test)


def test_probes_alone_do_not_mend_a_refusal_before_its_time() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(404, "no such model"))
        await said(found.engine)
        seen = len(fake.probes)
        await until(lambda: len(fake.probes) > seen + 1)
        assert found.engine.state == "refused"
        found.time_s = 61.0
        await until(lambda: found.engine.state == "ready")

    watched(test)


def test_a_good_answer_mends_a_refusal_at_once() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(401, "no"), error_answer(500, "no"), Reply().body())
        await said(found.engine)
        await said(found.engine)
        assert found.engine.state == "refused"
        await said(found.engine)
        assert found.engine.state == "ready"

    watched(test)


def test_the_tokenizers_refusal_says_nothing_of_the_engine() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(404, "no such path"))
        await said(found.engine, "/../tokenize")
        assert found.engine.state == "ready"

    watched(test)


def test_an_engine_without_a_list_of_models_may_have_a_wrong_base_url() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = (404, {})
        await found.engine.start()
        (told,) = found.told
        assert told.startswith("ready: profile openai; GET http://")
        assert "answers 404: is base_url right?" in told

    watched(test)


def test_a_wrong_credential_is_seen_before_the_first_request() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = (401, {})
        await found.engine.start()
        assert found.engine.state == "refused"
        # The list may be the only thing that it is wrong for.
        fake.play(Reply().body())
        await said(found.engine)
        assert found.engine.state == "ready"

    watched(test)


KEYS = ("one.1", "two.2")


def test_one_refused_key_of_several_is_told_once_and_the_engine_is_well() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(401, "no"), error_answer(401, "no"), Reply().body())
        for _ in range(2):
            await said(found.engine, key="two.2")
        await said(found.engine, key="one.1")

        assert (found.engine.state, found.engine.keys) == ("ready", KEYS)
        assert found.remarks == ["key 2 of 2 is refused; the others go on without it"]
        # That would be a sign that it is back.
        assert len(found.told) == 1
        # An answer to it would be news.
        assert found.engine.doubtful
        fake.play(Reply().body())
        await said(found.engine, key="two.2")
        assert not found.engine.doubtful

    watched(test, keys=(*KEYS, "one.1"))


def test_an_engine_that_refuses_all_its_keys_is_not_well_until_one_works() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(401, "no"), error_answer(401, "no"), Reply().body(), error_answer(401, "no"))
        for key in KEYS:
            await said(found.engine, key=key)
        assert found.engine.state == "refused"
        await said(found.engine, key="one.1")
        assert found.engine.state == "ready"
        await said(found.engine, key="two.2")
        assert found.engine.state == "ready"

    watched(test, keys=KEYS)


def test_what_is_no_keys_fault_is_the_engines_with_several_too() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play(error_answer(404, "no such model"))
        await said(found.engine, key="one.1")
        assert found.engine.state == "refused"

    watched(test, keys=KEYS)


def test_an_engine_that_dies_while_nobody_asks_it_is_found_out_and_so_is_its_return() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        await until(lambda: len(fake.probes) > 3)
        assert found.engine.state == "ready" and len(found.told) == 1
        port = fake.endpoint.port
        await fake.stop()
        await until(lambda: found.engine.state == "unreachable")
        await fake.start(port=port)
        await until(lambda: found.engine.state == "ready")
        assert not fake.requests

    watched(test, idle_look_s=0.02)


def test_an_engine_at_work_is_left_alone() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.play([Gate(), *Reply().body()])
        listener = Listener()
        found.engine.post(CHAT_PATH, b"{}", listener)
        await until(lambda: len(fake.requests) == 1)
        # A look could have begun before.
        seen = len(fake.probes) + (found.engine._glancing is not None)
        await asyncio.sleep(0.1)
        assert len(fake.probes) <= seen
        fake.requests[0].open_gate()
        await listener.body()
        await until(lambda: len(fake.probes) > seen + 2)

    watched(test, idle_look_s=0.02)


def test_an_engine_that_is_heard_of_is_not_looked_at() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.play(*(Reply().body() for _ in range(30)))
        await found.engine.start()
        seen = len(fake.probes)
        for _ in range(30):
            await said(found.engine)
            await asyncio.sleep(0.01)
        assert len(fake.probes) == seen

    watched(test, idle_look_s=0.1)


def test_an_answer_that_comes_during_a_look_is_believed_more_than_the_look() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        await found.engine.start()
        fake.pages["/v1/models"] = (503, {})
        fake.play(Reply().body())
        found.engine._unheard = True
        looking = asyncio.ensure_future(found.engine._glance(Prober(fake.endpoint, identify=False)))
        await said(found.engine)
        await looking
        assert found.engine.state == "ready"

    watched(test)


def test_a_plan_key_stays_one_while_the_upstream_cannot_say() -> None:
    engine = RemoteEngine("cloud", endpoint_of("http://a/api/paas/v4", "p.1"), GLM, keys=("p.1", "o.1"))
    for plan_keys, unsure_keys, known in (("p", "o", "p"), ("", "po", "p"), ("", "o", ""), ("o", "", "o")):
        engine._heed(Found("ready", plan_keys=frozenset(plan_keys), unsure_keys=frozenset(unsure_keys)))
        assert engine._plan_keys == set(known)


def test_an_engine_whose_keys_all_belong_to_a_plan_stays_well_while_idle_and_unwell_without_it() -> None:
    quota, plan = "/api/monitor/usage/quota/limit", (200, {"data": {"level": "pro", "limits": [{}]}})

    async def test(fake: FakeEngine, found: Watched) -> None:
        found.engine._prober = Prober(fake.endpoint, identify=False, keys=("p.1",), plans=True)
        fake.pages |= {"/v1/models": (401, {}), quota: plan}
        await found.engine.start()
        await until(lambda: len(fake.probes) > 8)
        # It cannot say so each time.
        fake.pages[quota] = (503, {})
        await until(lambda: len(fake.probes) > 16)
        assert found.told == ["ready: "]
        fake.pages[quota] = (401, {})
        await until(lambda: found.engine.state == "refused")
        assert "api_key" in found.told[1]

    watched(test, keys=("p.1",), idle_look_s=0.02)


def test_looking_ends_when_it_stops() -> None:
    async def test(fake: FakeEngine, found: Watched) -> None:
        fake.pages["/v1/models"] = (503, {})
        await found.engine.start()
        watching = found.engine._watching
        assert watching is not None
        await found.engine.stop()
        await until(watching.cancelled)

    watched(test)


def test_a_platform_with_several_keys_shows_the_one_that_is_named() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(*(Reply().body() for _ in range(3)))
            engine = RemoteEngine(
                "cloud", msgspec.structs.replace(fake.endpoint, api_key="a.1"), GLM, keys=("a.1", "b.2")
            )
            for key in ("b.2", None, "b.2"):
                await said(engine, key=key)

            assert (engine.kind, engine.keys) == ("glm", ("a.1", "b.2"))
            shown = [request.headers["authorization"] for request in fake.requests]
            assert shown == ["Bearer b.2", "Bearer a.1", "Bearer b.2"]
            await engine.stop()

    run(test())


def test_a_signing_engine_shows_no_key_not_even_in_a_probe() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(Reply().body(), Reply().body())
            signer = Signer()
            endpoint = msgspec.structs.replace(fake.endpoint, api_key="id.secret")
            prober = Prober(endpoint, identify=True, keys=("id.secret",), plans=True, bearer=signer.bearer)
            engine = RemoteEngine(
                "cloud", endpoint, GLM, prober=prober, keys=("id.secret", "id2.secret"), signer=signer
            )
            await engine.start()
            await said(engine)
            await said(engine, key="id2.secret")

            heard = [request.headers["authorization"] for request in (*fake.probes, *fake.requests)]
            assert len(fake.probes) >= 2 and len(fake.requests) == 2
            assert not [text for text in heard if "secret" in text]
            assert len(set(heard)) == 2
            await engine.stop()

    run(test())


def test_a_key_of_a_coding_plan_goes_to_the_plans_base() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(*(Reply().body() for _ in range(2)))
            fake.pages["/api/monitor/usage/quota/limit"] = (
                200,
                {"data": {"level": "pro", "limits": [{}]}},
            )
            base = msgspec.structs.replace(fake.endpoint, api_key="plan.1", path="/api/paas/v4")
            fake.pages["/api/paas/v4/models"] = (200, {"data": []})
            engine = RemoteEngine(
                "cloud",
                base,
                GLM,
                prober=Prober(base, identify=False, keys=("plan.1",), plans=True),
                keys=("plan.1",),
                plan_endpoint=msgspec.structs.replace(base, path="/api/coding/paas/v4"),
            )
            # Not known yet.
            await said(engine)
            await engine.start()
            await said(engine)

            assert [request.target for request in fake.requests] == [
                "/api/paas/v4/chat/completions",
                "/api/coding/paas/v4/chat/completions",
            ]
            assert engine.profile.name == "glm"
            await engine.stop()

    run(test())
