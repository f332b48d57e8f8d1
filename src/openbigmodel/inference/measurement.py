"""What a request has used, and is charged for: the engine's own count where it can be true, else the best that is
known.

Rule: delivered ≤ charged ≤ produced. An engine's count of its answer is believed between what was seen to be produced
and what it was asked for at most; beyond either it is an error of the engine's, and the line says so. Its count of the
prompt is believed, since a template or a picture may be longer than the request; the hold bounds what that can cost.
Nothing produced is nothing charged, neither for an error nor for a caller who left: then the prompt is free, too.
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.engine_reader import EngineReader

# An engine's count is believed up to so many words a token. Common tokenizers have one, but rarer ones do join words.
_WORDS_PER_TOKEN_MAX = 2
# A bound for requests that no bound was given to.
UNBOUNDED = 1 << 40
# GLM's tokenizers make a token of 4.2 to 4.5 bytes of English and of 4.5 to 5 bytes of Chinese.
_BYTES_PER_TOKEN = 5
_ESCAPE = b"\\u"
# An escaped character takes six bytes, and most that are escaped would be three.
_ESCAPE_SURPLUS_BYTES = 3


class Measured(msgspec.Struct, frozen=True, gc=False):
    """`source`: who counted, `engine`, `counted` (the platform) or `none` (nothing to count).

    `note` says what was cut, filled in or estimated; empty when the engine said it all.
    """

    usage: Usage
    source: str = "engine"
    note: str = ""


NOTHING = Measured(Usage(), "none")


def measured(
    reader: EngineReader,
    prompt_bound: int,
    completion_bound: int,
    asked: bytes,
    prompt_count: int | None = None,
) -> Measured:
    """The usage of an answer that has ended, well or not.

    `asked` is the body that the engine was sent, `prompt_count` what its tokenizer made of it.
    """
    usage = reader.usage()
    said = usage.completion_tokens
    if (
        usage.measured
        and reader.deltas <= said <= completion_bound
        and 0 < usage.prompt_tokens <= prompt_bound
        and said
        and reader.seen_tokens(said) <= _WORDS_PER_TOKEN_MAX * said
    ):
        return Measured(usage)
    produced = reader.produced_tokens
    if reader.finish_reason is None and not said and not produced:
        return msgspec.structs.replace(NOTHING, note="nothing was produced")
    notes: list[str] = []
    completion = _completion(reader, said, produced, completion_bound, notes)
    prompt = _prompt(reader, usage.prompt_tokens, prompt_bound, asked, prompt_count, notes)
    return Measured(
        Usage(
            prompt_tokens=prompt,
            cached_tokens=min(usage.cached_tokens, prompt),
            completion_tokens=completion,
            reasoning_tokens=min(usage.reasoning_tokens, completion),
            measured=usage.measured,
        ),
        "engine" if reader.counts_itself and completion == said else "counted",
        "; ".join(notes),
    )


def _completion(reader: EngineReader, said: int, produced: int, bound: int, notes: list[str]) -> int:
    if said < produced and (said < reader.deltas or produced > _WORDS_PER_TOKEN_MAX * said):
        notes.append(f"the engine reported {said} completion tokens, {produced} were delivered")
        said = produced
    if said > bound:
        notes.append(f"the engine reported {said} completion tokens, {bound} were the most it was asked for")
        said = bound
    elif reader.estimated:
        notes.append("completion estimated")
    return said


def _prompt(
    reader: EngineReader, said: int, bound: int, asked: bytes, count: int | None, notes: list[str]
) -> int:
    if not reader.knows_prompt:
        notes.append("prompt estimated" if count is None else "prompt counted by the engine's tokenizer")
        return min(estimate_prompt(asked) if count is None else count, bound)
    if said > bound:
        notes.append(f"the engine reported {said} prompt tokens, {bound} were held for")
    return said


def estimate_prompt(asked: bytes) -> int:
    """Tokens of a prompt that nobody has counted, by the size of the request that the engine was sent."""
    size_bytes = len(asked) - _ESCAPE_SURPLUS_BYTES * asked.count(_ESCAPE)
    return max(1, size_bytes // _BYTES_PER_TOKEN)
