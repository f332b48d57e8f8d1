"""What a key may be used for: which endpoints, which models, from which addresses (api.md §9.4).

Rule: None allows everything, a list nothing but what it names. What is restricted is refused with 1220 and 403; what
a Coding Plan does not include with 1113, as on bigmodel.cn. Pure.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import msgspec

from openbigmodel.errors import ApiError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What a key can be restricted to. A new endpoint comes here first, or no key could be restricted to it.
ENDPOINT_NAMES = ("chat", "models", "usage", "metrics")

_ENTRIES_MAX = 1000
_MODEL_CHARACTERS_MAX = 128


class ApiEndpoint(msgspec.Struct, frozen=True, gc=False):
    """Where a request comes in. `coding_keys`: whether keys of the Coding Plan are of use there.

    `api_key_header`: whether a credential may also stand in `x-api-key`, where Anthropic's clients put it.
    """

    name: str
    coding_keys: bool = False
    api_key_header: bool = False


class Restrictions(msgspec.Struct, frozen=True):
    """The lists of one key; models in small letters."""

    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    networks: tuple[Network, ...] | None = None

    def check_endpoint(self, name: str) -> None:
        """Raises ApiError 1220 for an endpoint that is not on the list."""
        if self.endpoints is not None and name not in self.endpoints:
            raise ApiError("1220", api_name=name)

    def allows_model(self, model_id: str) -> bool:
        """Whether a model, in any letter case, may be asked for."""
        return self.models is None or model_id.lower() in self.models

    def check_address(self, address: Address | None) -> None:
        """Raises ApiError 1220 for an address outside the networks; None, an unknown one, is outside of all."""
        if self.networks is None:
            return
        if address is None or not any(address in network for network in self.networks):
            # Whoever has set up a proxy needs to see which address arrives here.
            shown = address or "?"
            raise ApiError(
                "1220",
                api_name="API",
                detail_zh=f"该 API Key 不允许从地址 {shown} 使用。",
                detail_en=f"This API key may not be used from the address {shown}.",
            )


def read_restrictions(
    models: Iterable[str] | None = None,
    endpoints: Iterable[str] | None = None,
    networks: Iterable[str] | None = None,
) -> Restrictions:
    """Judges lists that people wrote. Raises ValueError with a sentence for one that cannot be meant."""
    return Restrictions(
        None if models is None else frozenset(_model_id(model) for model in _entries(models, "models")),
        None
        if endpoints is None
        else frozenset(_endpoint(name) for name in _entries(endpoints, "endpoints")),
        None if networks is None else parse_networks(_entries(networks, "networks")),
    )


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as 10.0.0.0/8, and single addresses. Raises ValueError with a sentence."""
    return tuple(sorted({_network(text) for text in texts}, key=lambda each: (each.version, each)))


def _entries(texts: Iterable[str], what: str) -> list[str]:
    entries = list(texts)
    if not entries:
        raise ValueError(f"an empty list of {what} would allow nothing; leave it out to allow all")
    if len(entries) > _ENTRIES_MAX:
        raise ValueError(f"at most {_ENTRIES_MAX} {what} can be listed")
    return entries


def _model_id(text: str) -> str:
    model_id = text.strip().lower()
    if not model_id or len(model_id) > _MODEL_CHARACTERS_MAX or not model_id.isprintable():
        raise ValueError(f"{text!r} cannot be the id of a model")
    return model_id


def _endpoint(text: str) -> str:
    name = text.strip().lower()
    if name not in ENDPOINT_NAMES:
        raise ValueError(f"{text!r} is no endpoint; known are {', '.join(ENDPOINT_NAMES)}")
    return name


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}") from error
