"""What a look at an endpoint finds, for every engine that has a profile, and for what is none."""

import asyncio
from typing import Any

import httpx
import pytest

from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Stall
from openbigmodel.engines.probing import Found, Prober, context_of, judge, kind_of
from openbigmodel.engines.profiles import PROFILES
from tests.unit.engines.engine_listener import run

ENDPOINT = Endpoint("engine", 8000, api_key="secret")
Pages = dict[str, tuple[int, Any]]


def models(owner: str, **more: Any) -> tuple[int, Any]:
    return 200, {"object": "list", "data": [{"id": "glm", "object": "model", "owned_by": owner, **more}]}


class Site(httpx.AsyncBaseTransport):
    """Pages by path; what was asked is on record."""

    def __init__(self, pages: Pages, server: str = "uvicorn") -> None:
        self.pages = pages
        self.server = server
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status, body = self.pages.get(request.url.path, (404, {"detail": "Not Found"}))
        if isinstance(body, Exception):
            raise body
        if isinstance(body, bytes):
            return httpx.Response(status, headers={"server": self.server}, content=body)
        return httpx.Response(status, headers={"server": self.server}, json=body)


def look(
    site: Site,
    *,
    identify: bool = True,
    keys: tuple[str, ...] = (),
    plans: bool = False,
    briefly: bool = False,
) -> Found:
    prober = Prober(ENDPOINT, identify=identify, keys=keys, plans=plans, transport=site)
    return asyncio.run(prober.look(briefly=briefly))


# As recorded, shortened.
SITES: list[tuple[str, Pages, str]] = [
    ("vllm", {"/v1/models": models("vllm", max_model_len=4096), "/version": (200, {"version": "0.28"})}, ""),
    ("sglang", {"/v1/models": models("sglang", max_model_len=4096)}, ""),
    (
        "sglang",
        {"/v1/models": models("me"), "/get_model_info": (200, {"model_path": "m", "is_generation": True})},
        "",
    ),
    ("llama-server", {"/v1/models": models("llamacpp")}, ""),
    ("llama-server", {"/v1/models": models("me")}, "llama.cpp"),
    (
        "llama-server",
        {"/v1/models": models("me"), "/props": (200, {"default_generation_settings": {}, "total_slots": 4})},
        "",
    ),
    ("ollama", {"/v1/models": models("library"), "/api/version": (200, {"version": "0.12.0"})}, ""),
    (
        "ollama",
        {"/v1/models": (200, {"object": "list", "data": None}), "/api/version": (200, {"version": "0.12"})},
        "",
    ),
    ("ray", {"/v1/models": models("organization-owner")}, ""),
    ("lmdeploy", {"/v1/models": models("lmdeploy")}, ""),
    (
        "tensorrt-llm",
        {"/v1/models": models("tensorrt_llm"), "/version": (200, {"version": "1.2.0"})},
        "",
    ),
    # vLLM with an owner of its own, told by what it says of the model.
    ("vllm", {"/v1/models": models("me", max_model_len=1), "/version": (200, {"version": "0.9"})}, ""),
    ("openai", {"/v1/models": models("openai")}, ""),
    ("openai", {"/v1/models": models("me"), "/version": (200, {"version": "1"})}, ""),
    ("openai", {"/v1/models": models("me"), "/props": (200, ["default_generation_settings"])}, ""),
    ("openai", {"/v1/models": (200, b"<html>")}, ""),
    ("openai", {"/v1/models": (200, b"[" * 100_000)}, ""),
]


@pytest.mark.parametrize(("profile", "pages", "server"), SITES)
def test_what_answers_is_found_out(profile: str, pages: Pages, server: str) -> None:
    found = look(Site(pages, server))

    assert (found.state, found.profile) == ("ready", profile)


def test_each_profile_can_be_found_out() -> None:
    assert {profile for profile, _, _ in SITES} == set(PROFILES)


def test_what_is_known_is_not_asked_for() -> None:
    site = Site({"/v1/models": models("vllm", max_model_len=4096)})
    found = look(site, identify=False)

    assert (found.profile, found.context_tokens) == ("", 4096)
    assert [(each.method, each.url.path) for each in site.asked] == [("GET", "/v1/models")]
    assert site.asked[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "state", "hint"),
    [
        (200, "ready", ""),
        (429, "ready", ""),
        (401, "refused", "api_key"),
        (403, "refused", "api_key"),
        (404, "ready", "base_url"),
        (405, "ready", "base_url"),
        (501, "ready", "base_url"),
        (307, "refused", "base_url"),
        (500, "unreachable", "starting"),
        (503, "unreachable", "starting"),
    ],
)
def test_what_the_status_says(status: int, state: str, hint: str) -> None:
    found = look(Site({"/v1/models": (status, {})}))

    assert (found.state, judge(status)[0]) == (state, state)
    assert hint in found.reason
    assert "secret" not in found.reason


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("x"), OSError()]
)
def test_nobody_there(error: Exception) -> None:
    found = look(Site({"/v1/models": (0, error)}))

    assert found.state == "unreachable"
    assert found.reason.startswith("http://engine:8000/v1: ") and not found.reason.endswith(": ")


def test_a_page_without_end() -> None:
    assert look(Site({"/v1/models": (200, b" " * (5 * 1024 * 1024))})).state == "unreachable"


def test_an_engine_that_never_answers() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.pages["/v1/models"] = (200, {})
            fake.script_for = lambda request: [Stall()]  # type: ignore[method-assign]
            found = await Prober(fake.endpoint, identify=True, timeout_s=0.05).look()
            assert (found.state, found.reason.endswith("gives no answer in 0.05 s")) == ("unreachable", True)

    run(test())


def test_a_real_socket() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.pages["/v1/models"] = models("vllm")
            found = await Prober(fake.endpoint, identify=True).look()
            assert not fake.requests and [request.target for request in fake.probes] == ["/v1/models"]
            assert found == Found("ready", "", "vllm")

    run(test())


@pytest.mark.parametrize(
    ("entries", "kind", "context"),
    [
        ([{"owned_by": "vllm", "max_model_len": 5}, {"owned_by": "vllm", "max_model_len": 5}], "vllm", 5),
        # A gateway in front of several engines is none of them.
        ([{"owned_by": "vllm", "max_model_len": 5}, {"owned_by": "sglang", "max_model_len": 6}], "", None),
        ([{"owned_by": "vllm", "max_model_len": 5}, {"owned_by": "vllm"}], "vllm", None),
        ([{"owned_by": None}], "", None),
        ([{"max_model_len": True}], "", None),
        ([{"max_model_len": -1}], "", None),
        ([{"max_model_len": "5"}], "", None),
        (["vllm"], "", None),
        ({}, "", None),
    ],
)
def test_a_list_of_models(entries: object, kind: str, context: int | None) -> None:
    listed = {"data": entries}

    assert (kind_of(listed, ""), context_of(listed)) == (kind, context)


class Accounts(Site):
    """Knows each key by its id: `own` and `plan` are in order, nobody is told of `busy`, any other is not accepted."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        account = request.headers["authorization"].removeprefix("Bearer ").partition(".")[0]
        if account not in ("own", "plan", "busy"):
            return httpx.Response(401, json={"error": {"code": "1000", "message": "no"}})
        if not request.url.path.startswith("/api/monitor"):
            return httpx.Response(200, json=models("z-ai")[1])
        if account == "busy":
            return httpx.Response(503)
        data = {"level": "pro", "limits": [{"type": "CREDIT_LIMIT"}]} if account == "plan" else None
        return httpx.Response(200, json={"code": 200, "data": data})


@pytest.mark.parametrize(
    "keys",
    [("own.1", "plan.1"), ("plan.1", "own.1"), ("revoked.1", "plan.1"), ("revoked.1", "own.1", "plan.1")],
)
def test_keys_of_a_coding_plan_are_told_apart_whichever_comes_first(keys: tuple[str, ...]) -> None:
    found = look(Accounts({}), identify=False, keys=keys, plans=True)

    assert (found.state, found.plan_keys, found.unsure_keys) == ("ready", frozenset({"plan.1"}), frozenset())


def test_a_key_that_only_its_plans_own_base_takes_is_a_good_one() -> None:
    class TwoBases(Accounts):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/v1/models":
                return httpx.Response(401)
            return await super().handle_async_request(request)

    assert look(TwoBases({}), identify=False, keys=("plan.1",), plans=True).state == "ready"
    assert look(TwoBases({}), identify=False, keys=("own.1",), plans=True).state == "refused"
    # A brief look does not know whose key it is, nor does the upstream each time.
    for key, briefly in (("plan.1", True), ("busy.1", False)):
        found = look(TwoBases({}), identify=False, keys=(key,), plans=True, briefly=briefly)
        assert (found.state, found.unsure_keys) == ("refused", frozenset({key}))


@pytest.mark.parametrize("status", [302, 503])
def test_a_list_that_is_refused_whoever_asks_says_nothing_of_keys(status: int) -> None:
    found = look(Site({"/v1/models": (status, {})}), identify=False, keys=("plan.1",), plans=True)

    assert (found.state != "ready", found.unsure_keys) == (True, frozenset())


def test_any_key_that_is_accepted_will_do() -> None:
    assert look(Accounts({}), identify=False, keys=("revoked.1", "gone.1", "own.1")).state == "ready"
    found = look(Accounts({}), identify=False, keys=("revoked.1", "gone.1"), plans=True)
    assert (found.state, found.plan_keys) == ("refused", frozenset())
    assert "answers 401" in found.reason and "revoked" not in found.reason


def test_an_upstream_that_cannot_say_whose_key_it_is_leaves_that_open() -> None:
    found = look(Accounts({}), identify=False, keys=("busy.1", "plan.1"), plans=True)

    assert (found.plan_keys, found.unsure_keys) == (frozenset({"plan.1"}), frozenset({"busy.1"}))


def test_a_brief_look_is_one_request() -> None:
    site = Accounts({})
    found = look(site, keys=("plan.1",), plans=True, briefly=True)

    assert [request.url.path for request in site.asked] == ["/v1/models"]
    assert (found.state, found.profile, found.unsure_keys) == ("ready", "", frozenset({"plan.1"}))


@pytest.mark.parametrize(
    "page", [(404, {}), (200, []), (200, {"data": {}}), (200, {"data": {"level": "pro", "limits": []}})]
)
def test_no_word_of_a_plan_is_no_plan(page: tuple[int, Any]) -> None:
    pages = {"/v1/models": models("z-ai"), "/api/monitor/usage/quota/limit": page}

    assert look(Site(pages), keys=("a.b",), plans=True).plan_keys == frozenset()
