"""What the tokens of a request cost, and the most that they can cost.

Rule: `charge` is rounded once per request, half-up to the nano-yuan; `bound` is rounded up, and is never less than
the charge of any usage within its limits. All prices are nano-yuan: per million tokens, per call, per image.
"""

import msgspec

from openbigmodel.billing.usage import Usage

# A price is per million tokens, a discount in percent: the exact sum is in units of 1/100,000,000 nano-yuan.
PARTS_PER_NANO = 1_000_000 * 100
HALF_NANO = PARTS_PER_NANO // 2


class Band(msgspec.Struct, frozen=True, gc=False):
    """Prices in nano-yuan per million tokens, for requests from these lengths on, in tokens (api.md §12.1).

    `cached` None: prompt tokens that the engine had in its cache cost what the others cost.
    """

    input: int
    output: int
    cached: int | None = None
    input_from: int = 0
    output_from: int = 0

    def __post_init__(self) -> None:
        if min(self.input, self.output, self.cached or 0, self.input_from, self.output_from) < 0:
            raise ValueError("a price and the length that it begins at are never negative")


class Price(msgspec.Struct, frozen=True):
    """One version of the price of a model; version 0 was never stored. Without bands tokens cost nothing.

    `per_call` is added to every request, `per_image` is for each image made. `percent` of the whole is charged: 100,
    or `batch_percent` for a request of a batch. Raises ValueError for what cannot be a price.
    """

    model: str
    version: int = 0
    bands: tuple[Band, ...] = ()
    per_call: int = 0
    per_image: int = 0
    batch_percent: int = 50
    percent: int = 100

    def __post_init__(self) -> None:
        if min(self.version, self.per_call, self.per_image) < 0:
            raise ValueError("a price is never negative")
        if not (0 <= self.batch_percent <= 100 and 0 <= self.percent <= 100):
            raise ValueError("a discount leaves 0 to 100 percent")
        starts = [(band.input_from, band.output_from) for band in self.bands]
        if starts and (0, 0) not in starts:
            raise ValueError("one band must begin at 0 tokens, or short requests have no price")
        if len(set(starts)) < len(starts):
            raise ValueError("two bands begin at the same lengths")

    @property
    def free(self) -> bool:
        """Whether nothing ever costs anything."""
        priced = any(band.input or band.output or band.cached for band in self.bands)
        return not (priced or self.per_call or self.per_image) or not self.percent

    def for_batch(self) -> "Price":
        """The same price with the discount of a batch."""
        return msgspec.structs.replace(self, percent=self.batch_percent)

    def charge(self, usage: Usage, covered: int = 0) -> int:
        """Nano-yuan for a request, by the band of its usage (`band_of`).

        `covered` tokens are paid for by packs: prompt tokens first, those that were not cached before those that
        were, then completion tokens.
        """
        bands = self.bands
        band = bands[0] if len(bands) == 1 else self.band_of(usage.prompt_tokens, usage.completion_tokens)
        parts = self.per_call * 1_000_000
        if band is not None:
            cached, output = usage.cached_tokens, usage.completion_tokens
            fresh = usage.prompt_tokens - cached
            if covered:
                fresh, covered = _less(fresh, covered)
                cached, covered = _less(cached, covered)
                output, covered = _less(output, covered)
            parts += fresh * band.input + output * band.output
            if cached:
                parts += cached * (band.input if band.cached is None else band.cached)
        return (parts * self.percent + HALF_NANO) // PARTS_PER_NANO

    def bound(self, prompt_tokens: int, completion_tokens: int, covered: int = 0) -> int:
        """The most nano-yuan that a request can cost with at most this many tokens, however many were cached.

        Every band within reach counts, also the dearer one of shorter requests. `covered` tokens are paid for by
        packs, in the order of `charge`.
        """
        if len(self.bands) == 1 and not covered:
            # Nearly every price, and on every request's path: half the work.
            band = self.bands[0]
            dearest = band.input if band.cached is None or band.cached < band.input else band.cached
            parts = prompt_tokens * dearest + completion_tokens * band.output
            return -((parts + self.per_call * 1_000_000) * self.percent // -PARTS_PER_NANO)
        prompt, rest = _less(prompt_tokens, covered)
        completion, _ = _less(completion_tokens, rest)
        most = 0
        for band in self.bands:
            if band.input_from <= prompt_tokens and band.output_from <= completion_tokens:
                dearest = band.input
                if band.cached is not None and band.cached > dearest:
                    dearest = band.cached
                parts = prompt * dearest + completion * band.output
                most = max(most, parts)
        return -((most + self.per_call * 1_000_000) * self.percent // -PARTS_PER_NANO)

    def band_of(self, prompt_tokens: int, completion_tokens: int) -> Band | None:
        """The band with the greatest `input_from` that the prompt reaches, then the greatest `output_from`."""
        found = None
        for band in self.bands:
            if (
                band.input_from <= prompt_tokens
                and band.output_from <= completion_tokens
                and (
                    found is None
                    or (band.input_from, band.output_from) > (found.input_from, found.output_from)
                )
            ):
                found = band
        return found


FREE = Price("")


def _less(tokens: int, covered: int) -> tuple[int, int]:
    """What of `tokens` is not covered, and what is left to cover others with."""
    return (tokens - covered, 0) if covered < tokens else (0, covered - tokens)
