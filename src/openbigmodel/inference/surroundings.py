"""What a request needs around it, and what it may have to wait for."""

from collections.abc import Callable
from typing import Any, Protocol

from openbigmodel.engines.registry import Registry
from openbigmodel.engines.router import Router
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admissions
from openbigmodel.inference.finished import FinishedRequests
from openbigmodel.media.preparation import Media


class Awaited(Protocol):
    """Something that takes its time, and calls back."""

    def cancel(self) -> object:
        """Forget it, and call nobody."""


class Surroundings(Protocol):
    """What every exchange needs; the pipeline. `swept_s` is when deadlines were last looked after."""

    registry: Registry
    router: Router
    admissions: Admissions
    finished: FinishedRequests
    ids: IdSource
    media: Media | None
    now_s: Callable[[], float]
    monotonic_s: Callable[[], float]
    exchanges: set[Any]
    swept_s: float
