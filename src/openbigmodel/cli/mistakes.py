"""A mistake on the command line in our own words: what the library says of a value is meant for programmers.

Rule: a text that is not known here is shown as it is; what to do is in it all the same.
"""

import re

_PREFIX = "Value error, "
_CHOICES = re.compile(r"^(?:Value error, )?'.*' is not one of (.+?)\.?$", re.DOTALL)
_KINDS = (
    (re.compile(r"^Input should be a valid integer\b.*$", re.DOTALL), "it must be a whole number"),
    (re.compile(r"^Input should be a valid number\b.*$", re.DOTALL), "it must be a number"),
    (re.compile(r"^Input should be greater than or equal to (\S+)$"), r"it must be \1 or more"),
    (re.compile(r"^Input should be less than or equal to (\S+)$"), r"it must be \1 or less"),
)


def in_our_words(message: str) -> str:
    """`Invalid value for '--by': Value error, 'x' is not one of 'a', 'b'.` → `…: it must be one of a, b`."""
    head, mark, said = message.partition("': ")
    if not mark or not head.startswith("Invalid value for "):
        return message
    choices = _CHOICES.match(said)
    if choices is not None:
        return f"{head}{mark}it must be one of {choices[1].replace(chr(39), '')}"
    for pattern, words in _KINDS:
        if pattern.match(said):
            return head + mark + pattern.sub(words, said)
    return head + mark + said.removeprefix(_PREFIX)
