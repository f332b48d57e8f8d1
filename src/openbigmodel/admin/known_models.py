"""Which model ids an operator can mean: those that are served, priced or in the catalogue.

Rule: an id that nobody knows is taken, because its model may come tomorrow, but not in silence: it is often a slip.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence

from openbigmodel.admin.protocol import Answer


class KnownModels:
    """`routed` tells the ids of the models that are served, `priced` those that have a price, or had one."""

    def __init__(
        self,
        catalogued: Iterable[str],
        routed: Callable[[], Iterable[str]],
        priced: Callable[[], Iterable[str]],
    ) -> None:
        self._catalogued = frozenset(model.lower() for model in catalogued)
        self._routed = routed
        self._priced = priced

    def warning(self, models: Sequence[str] | None) -> str:
        """A sentence for each id that nobody knows; empty if there is none."""
        if not models:
            return ""
        known = self._catalogued.union(map(str.lower, self._routed()), map(str.lower, self._priced()))
        return " ".join(_sentence(model, known) for model in models if model.lower() not in known)


def _sentence(model: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(model.lower(), sorted(known), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return (
        f"Nothing here is called {model}: no model that is served, has a price or is in the catalogue.{hint}"
    )


def with_warning(answer: Answer, warning: str) -> Answer:
    """The answer, which also says what may be wrong, if anything."""
    return answer | {"warning": warning} if warning else answer
