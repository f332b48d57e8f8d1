"""What a pool tells of its endpoint: headers of refusals, trouble, and which credential goes where."""

from openbigmodel.engines.connection import ConnectionPool, EngineCall
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Data, End, Head, Step
from tests.unit.engines.engine_listener import Listener, run
from tests.unit.engines.test_connection import answer, ask


class Diary:
    """A watcher that writes down what it is told."""

    def __init__(self, *, doubtful: bool = False) -> None:
        self.doubtful = doubtful
        self.told: list[object] = []

    def answered(self, call: EngineCall, status: int) -> None:
        self.told.append((call.path, status))

    def unreachable(self, reason: str) -> None:
        self.told.append(reason)


def test_the_headers_of_a_refusal_can_be_read_and_those_of_an_answer_cost_nothing() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            refusal: list[Step] = [Head(429, (("Retry-After", "7"),), 2), Data(b"{}"), End()]
            engine.play(refusal, answer(b"hello"))
            pool = ConnectionPool(engine.endpoint)
            calls = []
            for _ in range(2):
                listener = Listener()
                calls.append(pool.post("/x", b"{}", listener))
                await listener.outcome()

            assert calls[0].headers[b"retry-after"] == b"7"
            assert calls[1].headers == {}
            pool.close()

    run(test())


def test_a_watcher_hears_of_trouble_and_in_doubt_of_everything() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            refusal: list[Step] = [Head(500, (), 0), End()]
            engine.play(answer(b"a"), refusal, answer(b"b"))
            pool = ConnectionPool(engine.endpoint)
            diary = pool.watcher = Diary()
            for _ in range(3):
                listener = await ask(pool)
                await listener.outcome()
                diary.doubtful = bool(diary.told)
            assert diary.told == [("/chat/completions", 500), ("/chat/completions", 200)]
            pool.close()
        nowhere = ConnectionPool(Endpoint("127.0.0.1", 1))
        nowhere.watcher = diary = Diary()
        reason = await (await ask(nowhere)).failure()
        assert diary.told == [reason]

    run(test())


def test_another_credential_goes_with_the_call_that_names_it() -> None:
    pool = ConnectionPool(Endpoint("h", 80, api_key="own"))

    assert b"Bearer own\r\n" in pool.request_head("/x", 0)
    assert b"Bearer other\r\n" in pool.request_head("/x", 0, "other")
    assert b"Authorization" not in pool.request_head("/x", 0, "")
    for number in range(1000):
        pool.request_head("/x", 0, str(number))
    assert len(pool._heads) <= 256


def test_connections_are_kept_or_not_from_the_moment_that_this_is_known() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"a"), answer(b"b"), answer(b"c"))
            pool = ConnectionPool(engine.endpoint)
            await (await ask(pool)).body()
            pool.set_keep_alive(False)
            await (await ask(pool)).body()
            pool.set_keep_alive(False)
            await (await ask(pool)).body()
            assert [request.headers.get("connection") for request in engine.requests] == [
                None,
                "close",
                "close",
            ]
            pool.close()

    run(test())
