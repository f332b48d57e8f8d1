"""Whatever an engine does, its documented outcome follows, with the right bill, within the deadline, and nothing stays.

The catalogue is the same every time: every day each kind of misfortune once, and some of them in answers that are
passed on or raw text; in CI all scenarios.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.engines import connection as connection_module
from openbigmodel.engines.connection import EngineCall
from openbigmodel.engines.outcome import Outcome
from openbigmodel.inference import engine_reader as reader_module
from openbigmodel.inference import exchange as exchange_module
from openbigmodel.inference.asking import Asking
from openbigmodel.inference.attempt import Attempt
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.glm_relay import GlmWriter
from openbigmodel.inference.measurement import Measured
from openbigmodel.inference.raw_text_reader import RawTextReader
from openbigmodel.inference.reply import DONE
from openbigmodel.inference.silence import Silence
from tests.conftest import SCALE
from tests.faults import engine_scenario
from tests.faults.engine_catalogue import CATALOGUE
from tests.faults.engine_scenario import Scenario, broken_promises
from tests.faults.stream_faults import OF_ANY_ENGINE
from tests.unit.inference import pipeline_bench

ALL_FROM_SCALE = 5
# Of the misfortunes in other ways to read an answer, every day one in so many.
_OTHER_WAYS = 4


def _chosen() -> list[Scenario]:
    if SCALE >= ALL_FROM_SCALE:
        return list(CATALOGUE)
    kinds: dict[tuple[str, str], list[Scenario]] = {}
    for scenario in CATALOGUE:
        kinds.setdefault((scenario.way, scenario.kind), []).append(scenario)
    return [
        scenarios[number * 7 % len(scenarios)]
        for number, ((way, _), scenarios) in enumerate(kinds.items())
        if not way or number % _OTHER_WAYS == 0
    ]


def test_the_catalogue_is_as_large_as_promised() -> None:
    assert len({scenario.name for scenario in CATALOGUE}) == len(CATALOGUE) >= 2000
    assert len({scenario.kind for scenario in CATALOGUE}) >= 120
    assert {scenario.kind for scenario in _chosen()} == {scenario.kind for scenario in CATALOGUE}


@pytest.mark.parametrize(("way", "profile"), [("relayed", "glm"), ("raw text", "raw-text")])
def test_whatever_any_engine_may_do_happens_in_every_way_to_read_it(way: str, profile: str) -> None:
    found = [scenario for scenario in CATALOGUE if scenario.way == way]
    assert {scenario.kind for scenario in found} == {fault.name for fault in OF_ANY_ENGINE}
    assert {scenario.profile.name for scenario in found} == {profile}
    assert len([scenario for scenario in _chosen() if scenario.way == way]) >= len(OF_ANY_ENGINE) // 5


@pytest.mark.parametrize("scenario", _chosen(), ids=lambda scenario: scenario.name)
def test_an_engine_fault(scenario: Scenario) -> None:
    assert broken_promises(scenario) == []


# Bugs that the harness must find, by what they do, and scenarios in which they show.

Plant = Callable[[pytest.MonkeyPatch], None]


def _done_is_an_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineReader, "ended_well", lambda self: self.finish_reason is not None or self.done)


def _asks_again_after_a_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        ChatExchange, "_ask_another", lambda self, *, broken=False: self._asking.ask_another(broken=broken)
    )


def _believes_any_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exchange_module, "measured", lambda reader, *_: Measured(reader.usage()))


def _charges_for_errors(patch: pytest.MonkeyPatch) -> None:
    settle_refused = ChatExchange._settle_refused

    def settle(self: ChatExchange, error: Any) -> None:
        self._measured = Measured(Usage(prompt_tokens=7, completion_tokens=1))
        settle_refused(self, error)

    patch.setattr(ChatExchange, "_settle_refused", settle)


def _lets_the_engine_work_on(patch: pytest.MonkeyPatch) -> None:
    def forget(self: EngineCall) -> None:
        self.over = True
        if self.connection is not None:
            self.connection.call = None

    patch.setattr(EngineCall, "cancel", forget)


def _reuses_what_broke(patch: pytest.MonkeyPatch) -> None:
    def keep(self: EngineCall) -> None:
        connection, self.connection, self.over = self.connection, None, True
        if connection is not None:
            connection.call = None
            connection.idle_since_s = math.inf
            self._pool._idle.append(connection)

    patch.setattr(EngineCall, "cancel", keep)


def _keeps_the_seat(patch: pytest.MonkeyPatch) -> None:
    end = Attempt.end

    def keep(self: Attempt, outcome: Outcome, *args: Any) -> None:
        if outcome is Outcome.FAILED and self.status == 200:
            self.over = True
            self.release()
        else:
            end(self, outcome, *args)

    patch.setattr(Attempt, "end", keep)


def _has_no_deadline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChatExchange, "check_deadline", lambda self, now_s: None)


def _takes_any_word_for_life(patch: pytest.MonkeyPatch) -> None:
    note = Silence.note

    def hear(self: Silence, swept_s: float, deltas: int) -> None:
        note(self, swept_s, deltas)
        self._brought_s = math.inf

    patch.setattr(Silence, "note", hear)


def _takes_events_of_any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reader_module, "MAX_EVENT_BYTES", 1 << 40)


def _takes_heads_of_any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection_module, "_MAX_HEAD_BYTES", 1 << 40)


def _blames_for_429(patch: pytest.MonkeyPatch) -> None:
    end = Asking.end
    patch.setattr(
        Asking,
        "end",
        lambda self, outcome, *args: end(self, Outcome.FAILED if outcome is Outcome.BUSY else outcome, *args),
    )


def _asks_all_of_them_for_a_400(patch: pytest.MonkeyPatch) -> None:
    settle_refused = ChatExchange._settle_refused

    def ask_first(self: ChatExchange, error: Any) -> None:
        if not self._ask_another():
            settle_refused(self, error)

    patch.setattr(ChatExchange, "_settle_refused", ask_first)


def _stumbles_over_junk(patch: pytest.MonkeyPatch) -> None:
    reply = EngineReader._reply

    def read(self: EngineReader, data: bytes) -> Any:
        data.decode()
        return reply(self, data)

    patch.setattr(EngineReader, "_reply", read)


def _dies_after_the_end(patch: pytest.MonkeyPatch) -> None:
    def fail(self: ChatExchange, reason: str, *, broken: bool = False) -> None:
        if not self._over:
            self._detail = reason
            self._asking.end(Outcome.FAILED, reason)
            if not self._ask_another(broken=broken):
                self._finish(b"", died=True)

    patch.setattr(ChatExchange, "_fail", fail)


def _forgets_lost_connections(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection_module._Connection, "_fail", lambda self, reason: None)


def _relays_in_its_own_words(patch: pytest.MonkeyPatch) -> None:
    rewritten = GlmWriter._rewritten
    patch.setattr(
        GlmWriter,
        "_rewritten",
        lambda self, members: rewritten(self, {k: v for k, v in members.items() if k != "created"}),
    )


def _relays_no_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GlmWriter, "finish", lambda self, *_: self.take() + b"".join(self._held) + DONE)


def _closes_the_calls_of_the_dead(patch: pytest.MonkeyPatch) -> None:
    ended_well = RawTextReader.ended_well

    def close(self: RawTextReader) -> bool:
        if not self._at_end:
            self._at_end = True
            self._tell(self._parser.finish())
        return ended_well(self)

    patch.setattr(RawTextReader, "ended_well", close)


PLANTED: dict[str, tuple[Plant, str]] = {
    "[DONE] without a reason is an end": (_done_is_an_end, "[DONE] at once / after three tokens"),
    "asked again after a token": (_asks_again_after_a_token, "reset / after three tokens"),
    "any count is believed": (_believes_any_count, "usage that says more than was asked for / 1"),
    "too low a count is believed": (_believes_any_count, "usage that says too little / 1"),
    "errors are charged": (_charges_for_errors, "ended / after the head"),
    "the engine works on": (_lets_the_engine_work_on, "OpenAI's error / after three tokens"),
    "a broken connection is used again": (_reuses_what_broke, "a list / after three tokens"),
    "the seat is kept": (_keeps_the_seat, "closed / after three tokens"),
    "there is no deadline": (_has_no_deadline, "silent / after three tokens"),
    "any word is life": (_takes_any_word_for_life, "comments for ever / after three tokens"),
    "events of any size": (_takes_events_of_any_size, "a huge event / after three tokens"),
    "heads of any size": (_takes_heads_of_any_size, "600 KiB in one header / stream"),
    "429 is a failure": (_blames_for_429, "429 with Retry-After"),
    "a 400 is asked of all": (_asks_all_of_them_for_a_400, "400 with a field / "),
    "junk is a fault of ours": (_stumbles_over_junk, "binary junk / after three tokens"),
    "a whole answer dies with its engine": (_dies_after_the_end, "reset / after the finish reason"),
    "nobody hears that the connection is lost": (_forgets_lost_connections, "closed / after three tokens"),
    "asked again after an event that was passed on": (
        _asks_again_after_a_token,
        "reset / after three tokens / glm",
    ),
    "a relay has its own words": (_relays_in_its_own_words, "ended / after three tokens / glm"),
    "a relay ends what has died as it was": (_relays_no_end, "reset / after three tokens / glm"),
    "a dead engine's call looks whole": (
        _closes_the_calls_of_the_dead,
        "error as a reason / within a streamed raw",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, name = PLANTED[bug]
    scenarios = [scenario for scenario in CATALOGUE if scenario.name.startswith(name)]
    assert scenarios, name
    # What never ends need not be waited for.
    monkeypatch.setattr(engine_scenario, "_ENDS_WITHIN_S", 1.0)
    monkeypatch.setattr(pipeline_bench, "ENGINE_STOPS_WITHIN_S", 0.3)
    assert all(broken_promises(scenario) == [] for scenario in scenarios[:2])
    plant(monkeypatch)
    assert any(broken_promises(scenario) for scenario in scenarios)
