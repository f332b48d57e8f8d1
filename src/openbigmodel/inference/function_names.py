"""Names of functions that are longer than GLM takes: cut, with a digest of the whole, so that they stay apart.

The same name becomes the same short one in every request of a conversation.
"""

import hashlib

# GLM's limit (api.md §3.4). Names of Model Context Protocol tools are often longer: a plugin's, a server's, their own.
MAX_NAME_CHARACTERS = 64
_DIGEST_CHARACTERS = 8


def short_name(name: str) -> str:
    """The name for GLM: itself, if it is short enough."""
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: MAX_NAME_CHARACTERS - _DIGEST_CHARACTERS - 1]}_{digest}"
