"""What belongs together goes to the same place: the key of a conversation, and who is the first to serve a key.

An engine has the beginning of a conversation in its cache and need not compute it again, so all turns of it should
reach the same one (prefix caching; an upstream's account has such a cache, too).

Rule: later turns give the same key, on every server and after every restart; and when one of several places goes or
comes, only the keys that were or will be there move (rendezvous hashing).
"""

import re
from hashlib import blake2b
from math import log

# Of the beginning and of the end of what is hashed; between them, its length must do.
_EDGE_BYTES = 4096
# A first question may hold a picture of megabytes. Whoever shares so much of it shares most of the work, too.
_QUESTION_BYTES = 16 * 1024
_ROLE = b'"user"'
# A string, perhaps cut off, or what opens and closes: all that is needed to find the end of an object. Nothing in it
# is tried twice, whatever a caller writes.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.?+[^"\\]*+)*+(?:"|\Z)|[][{}]', re.DOTALL)
_MASK = (1 << 64) - 1


def conversation_key(messages: bytes) -> int:
    """64 bits that stand for a conversation: all of its messages up to the end of the first one by the user.

    `messages` is the JSON of the whole list, in whatever order its objects have their members. Takes 10 µs as a rule,
    and 100 µs at worst. No proof of anything: whoever wants two conversations to have one key, can.
    """
    role = messages.find(_ROLE)
    end = _EDGE_BYTES if role < 0 else _end_of_object(messages, role)
    digest = blake2b(messages[: min(end, _EDGE_BYTES)], digest_size=8)
    if end > _EDGE_BYTES:
        digest.update(messages[max(_EDGE_BYTES, end - _EDGE_BYTES) : end])
        digest.update(b"%d" % end)
    return int.from_bytes(digest.digest(), "big")


def text_key(text: str) -> int:
    """64 bits that stand for a text, such as an engine's name or an account's id."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def claim(key: int, place: int, weight: int = 1) -> float:
    """How strongly a place (its `text_key`) claims a key: the strongest claim serves it.

    With weights, a place serves its part of all keys.
    """
    mixed = ((key ^ place) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93) & _MASK
    mixed ^= mixed >> 32
    # 53 bits, all that a float holds; never 0 nor 1, so its logarithm is below 0.
    return weight / -log(((mixed >> 11) + 0.5) * 2.0**-53)


def _end_of_object(messages: bytes, inside: int) -> int:
    """Where the object ends in which `inside` lies, or a bound within it."""
    bound = inside + _QUESTION_BYTES
    depth = 1
    # The search must not see what comes after: it grows with every turn.
    for token in _TOKEN.finditer(messages, inside, bound):
        mark = token[0]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return min(bound, len(messages))
