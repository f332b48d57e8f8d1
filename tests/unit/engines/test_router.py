"""Routes, engines and their circuit breakers put together."""

import pytest

from openbigmodel.catalog import Model
from openbigmodel.engines.circuit_breaker import FAILURES_IN_A_ROW, PRESSED_MAX, CircuitBreaker
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import OPENAI
from openbigmodel.engines.registry import Balance, Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.router import LOST_S, Router
from openbigmodel.engines.waiting_room import WAIT_MAX_S
from openbigmodel.errors import ApiError

TURN = b'[{"role":"user","content":"a"}]'


class World:
    """Two models: `both` on all engines, mostly a and b, `one` on engine a alone."""

    def __init__(self, balance: Balance = "failover", *, names: str = "ab", **max_in_flight: int) -> None:
        self.now_s = 100.0
        self.heard: list[str] = []
        self.engines = {name: RemoteEngine(name, Endpoint("127.0.0.1", 1), OPENAI) for name in names}
        targets = tuple(Target(engine, "x") for engine in self.engines.values())
        self.both = Route(Model(id="both"), targets, balance)
        self.one = Route(Model(id="one"), targets[:1])
        registry = Registry(self.engines.values(), {"both": self.both, "one": self.one}, max_in_flight)
        self.router = Router(registry, now_s=lambda: self.now_s, chance=lambda: 0.5, on_change=self._changed)

    def _changed(self, breaker: CircuitBreaker, before: str, why: str) -> None:
        self.heard.append(f"{breaker.name} {breaker.state}")

    def served_by(self, route: Route, outcome: Outcome = Outcome.SERVED) -> str:
        seat = self.router.desk(route).seat(None)
        assert seat is not None
        seat.leave(outcome, self.now_s, why="x")
        return seat.target.engine.name


def test_a_breaker_is_of_the_engine_and_open_for_every_route_that_has_a_choice() -> None:
    world = World()
    for _ in range(FAILURES_IN_A_ROW):
        assert world.served_by(world.both, Outcome.FAILED) == "a"
    assert world.heard == ["a open"]
    assert world.router.breaker_states() == {("a", "open"): 1.0, ("b", "closed"): 1.0}
    assert world.served_by(world.both) == "b"
    # Where there is nobody else, it is asked nevertheless, and as often as anybody wants.
    for _ in range(50):
        assert world.served_by(world.one, Outcome.FAILED) == "a"


def test_a_sign_that_it_is_back_has_the_next_request_try_it() -> None:
    world = World()
    for _ in range(FAILURES_IN_A_ROW):
        world.served_by(world.both, Outcome.FAILED)
    assert world.served_by(world.both) == "b"
    world.router.look_again("a")
    world.router.look_again("nobody")
    assert world.served_by(world.both) == "a"
    assert world.heard == ["a open", "a half-open", "a closed"]


def test_an_engine_that_a_probe_could_not_reach_is_asked_by_nobody_who_has_a_choice() -> None:
    world = World()
    world.router.lost("a")
    world.router.lost("nobody")
    assert world.served_by(world.both) == "b"
    assert world.served_by(world.one) == "a"
    seat = world.router.desk(world.both).seat(None)
    assert seat is not None
    # Nobody else is left.
    again = world.router.desk(world.both).another(None, (seat.candidate,), broken=False)
    assert again is not None and again.target.engine.name == "a"
    world.router.look_again("a")
    assert world.served_by(world.both) == "a"
    world.router.lost("a")
    world.now_s += LOST_S
    assert world.served_by(world.both) == "a"


def test_places_are_of_the_engine_whatever_the_route() -> None:
    world = World(a=1)
    seat = world.router.desk(world.one).seat(None)
    assert seat is not None
    assert world.router.in_flight == 1
    assert world.served_by(world.both) == "b"
    assert world.router.desk(world.one).seat(None) is None
    assert world.router.desk(world.one).crowded
    seat.leave(Outcome.SERVED, world.now_s)
    assert world.served_by(world.both) == "a"
    assert world.router.in_flight == 0


def test_a_free_place_wakes_who_waits() -> None:
    world = World(a=1)
    desk = world.router.desk(world.one)
    first, heard = desk.seat(None), []
    assert first is not None

    def resume() -> bool:
        heard.append("resume")
        # Nobody else gets it meanwhile.
        assert desk.seat(None) is None
        return desk.free_seat(None) is not None

    desk.wait("account", resume, lambda error: heard.append(error.code))
    assert world.router.waiting == 1
    first.leave(Outcome.SERVED, world.now_s)
    assert heard == ["resume"]
    assert world.router.waiting == 0
    assert world.router.in_flight == 1


def test_who_waits_too_long_or_does_not_want_to_any_more() -> None:
    world = World(a=1)
    desk = world.router.desk(world.one)
    assert desk.seat(None) is not None
    errors: list[ApiError] = []
    desk.wait("account", lambda: False, errors.append).cancel()
    desk.wait("account", lambda: False, errors.append)
    world.now_s += WAIT_MAX_S - 0.1
    world.router.expire()
    assert not errors
    world.now_s += 0.1
    world.router.expire()
    assert [error.code for error in errors] == ["1305"]
    assert world.router.waiting == 0


@pytest.mark.parametrize(
    ("balance", "sticks"), [("prefix", True), ("failover", False), ("least-load", False)]
)
def test_a_conversation_has_a_key_only_where_it_matters(balance: Balance, sticks: bool) -> None:
    world = World(balance)
    assert (world.router.desk(world.both).key(TURN) is not None) is sticks
    assert world.router.desk(world.one).key(TURN) is None


def test_after_a_failure_the_other_is_asked_and_a_lone_one_only_if_it_never_heard() -> None:
    world = World()
    both, one = world.router.desk(world.both), world.router.desk(world.one)
    seat = both.seat(None)
    assert seat is not None
    seat.leave(Outcome.FAILED, world.now_s)
    other = both.another(None, (seat.candidate,), broken=False)
    assert other is not None
    assert other.target.engine.name == "b"
    seat = one.seat(None)
    assert seat is not None
    seat.leave(Outcome.FAILED, world.now_s)
    assert one.another(None, (seat.candidate,), broken=False) is None
    again = one.another(None, (seat.candidate,), broken=True)
    assert again is not None
    assert one.another(None, (seat.candidate, again.candidate), broken=True) is None


def test_who_has_another_key_does_not_ask_again_where_too_many_try_already() -> None:
    world = World()
    desk = world.router.desk(world.both)
    slow = desk.seat(None)
    assert slow is not None
    for name in ("a",) * FAILURES_IN_A_ROW + ("b",) * FAILURES_IN_A_ROW:
        assert world.served_by(world.both, Outcome.FAILED) == name
    pressed = []
    while seat := desk.seat(None):
        pressed.append(seat)
    assert len(pressed) == 2 * PRESSED_MAX
    slow.leave(Outcome.REFUSED, world.now_s)
    assert desk.again(slow.candidate) is None
    pressed[0].leave(Outcome.REFUSED, world.now_s)
    again = desk.again(pressed[0].candidate)
    assert again is not None and again.candidate is pressed[0].candidate


def test_nobody_is_moved_to_an_engine_whose_last_probe_failed() -> None:
    world = World(names="abc")
    desk = world.router.desk(world.both)
    seat = desk.seat(None)
    assert seat is not None
    world.engines["b"].unreachable("no route")
    assert desk.elsewhere((seat.candidate,), world.now_s)
    other = desk.another(None, (seat.candidate,), broken=False)
    assert other is not None and other.target.engine.name == "c"
    world.engines["c"].unreachable("no route")
    assert not desk.elsewhere((seat.candidate,), world.now_s)
    # Who has failed loses nothing by asking there.
    other = desk.another(None, (seat.candidate,), broken=False)
    assert other is not None and other.target.engine.name == "b"
