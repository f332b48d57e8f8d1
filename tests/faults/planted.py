"""Mistakes that the harnesses of this folder must find."""

import time
from collections.abc import Callable
from typing import Any

from openbigmodel.db import writer as writer_module
from openbigmodel.db.writer import Writer


def reports_too_early() -> Callable[[Writer, list[Any], list[Any]], None]:
    """A `Writer._finish_batch` that says that all is on disk, and then commits it."""
    finish_batch = Writer._finish_batch

    def report_first(self: Writer, batch: list[Any], outcomes: list[Any]) -> None:
        connection = self._connection
        assert connection is not None
        for what, params, done in batch[len(outcomes) :]:
            outcomes.append((done, writer_module._run(connection, what, params)))
        for done, error in outcomes:
            self._loop.call_soon_threadsafe(done, error)
        time.sleep(0.005)
        finish_batch(
            self,
            [(what, params, _nobody) for what, params, _ in batch],
            [(_nobody, error) for _, error in outcomes],
        )

    return report_first


def _nobody(_error: BaseException | None) -> None:
    """Who has been told already."""
