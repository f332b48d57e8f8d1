"""Finds API keys where none belong: in the body or the URL of a request, from where they get into logs and prompts.

Rule: a key is flagged only if all of it was seen and its secret is right, so that nobody can have somebody else's key
flagged or replaced by its id. It is named by its id alone. All key ids begin alike (`KEY_ID_MARK`), so a text without
a key costs one search; ids that other platforms issued, or releases before this, are not found.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal, Protocol

from openbigmodel.auth.accounts import FlaggedKey
from openbigmodel.auth.api_keys import KnownKey
from openbigmodel.credentials import KEY_ID_MARK, is_own_key_id, same_secret

# To be searched for before anything here is called.
LEAK_MARK = KEY_ID_MARK.encode()
# For the owner to change over to the new key.
ROTATION_OVERLAP_S = 3600

Where = Literal["body", "url"]

# A dot may be written %2E in a URL. A secret has 43 characters, see `secret_of_digest`.
_KEY = re.compile(rb"(" + LEAK_MARK + rb"[0-9a-f]{24})(?:\.|%2[Ee])([0-9A-Za-z]{43})")
_KEY_IN_TEXT = re.compile("(" + KEY_ID_MARK + r"[0-9a-f]{24})(\.|%2[Ee])[0-9A-Za-z]+")
# What one text may cost: things that look like keys, and the look-ups for those whose id can be one.
_CANDIDATES_MAX = 64
_LOOK_UPS_MAX = 8


class FlaggingStore(Protocol):
    """Where keys are kept."""

    def find_key(self, key_id: str) -> KnownKey | None:
        """Looks a key up by its id."""

    async def flag_leaked(self, key_id: str, *, overlap_s: int) -> FlaggedKey | None:
        """Notes it, and replaces the key if its account wants that; None if that was done before."""


class LeakWatch:
    """Flags what it finds. `report` takes a line for the operator's log; for the event loop's thread.

    `seen` counts all finds, also of keys that are flagged already.
    """

    def __init__(self, store: FlaggingStore, report: Callable[[str], None]) -> None:
        self._store = store
        self._report = report
        self.seen: dict[Where, int] = {"body": 0, "url": 0}
        self._flagging: dict[str, asyncio.Task[None]] = {}

    def look(self, text: bytes, where: Where) -> None:
        """Finds and flags the keys in a text, which has LEAK_MARK in it."""
        for key_id, done in self.find_leaked(text):
            self.seen[where] += 1
            if not done and key_id not in self._flagging:
                task = asyncio.get_running_loop().create_task(self._flag(key_id, where), name=key_id)
                self._flagging[key_id] = task
                task.add_done_callback(lambda task: self._flagging.pop(task.get_name()))

    def find_leaked(self, text: bytes) -> Iterator[tuple[str, bool]]:
        """The ids of the active keys that stand in a text as a whole, and whether all is done about each already."""
        looked_up: set[str] = set()
        for match in islice(_KEY.finditer(text, max(0, text.find(LEAK_MARK))), _CANDIDATES_MAX):
            key_id, secret = match[1].decode(), match[2].decode()
            if key_id in looked_up or not is_own_key_id(key_id):
                continue
            looked_up.add(key_id)
            found = self._store.find_key(key_id)
            if (
                same_secret(secret, None if found is None else found.secret)
                and found is not None
                and found.active
            ):
                yield key_id, found.leaked
            if len(looked_up) == _LOOK_UPS_MAX:
                return

    def counts(self) -> dict[tuple[str, ...], float]:
        """`seen`, as metrics want it."""
        return {(where,): float(count) for where, count in self.seen.items()}

    async def _flag(self, key_id: str, where: Where) -> None:
        seen = f"API key {key_id} was seen in the {'URL' if where == 'url' else where} of a request"
        try:
            flagged = await self._store.flag_leaked(key_id, overlap_s=ROTATION_OVERLAP_S)
        except Exception as error:  # noqa: BLE001 - the edge of a task: the next time it is seen it is tried again
            self._report(f"{seen} and could not be flagged: {error}")
            return
        if flagged is None:
            return
        if flagged.rotated_to is None:
            self._report(f"{seen}: flagged as leaked; disable or rotate it")
        else:
            self._report(
                f"{seen}: flagged as leaked, ends within {ROTATION_OVERLAP_S} s, replaced by {flagged.rotated_to}"
            )


def without_secrets(text: str) -> str:
    """A text for the log without the secrets of keys that stand in it."""
    return _KEY_IN_TEXT.sub(r"\1\2***", text) if KEY_ID_MARK in text else text
