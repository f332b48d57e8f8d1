"""One frozen structure with everything that can be set, and the one function that reads it."""

from openbigmodel.settings.fields import (
    DownloadSettings,
    EngineSettings,
    Field,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelFile,
    ModelSettings,
    ModerationSettings,
    OpenAIEngineSettings,
    Secret,
    ServerSettings,
    Settings,
    SettingsError,
    fields_of,
)
from openbigmodel.settings.loader import load_settings
from openbigmodel.settings.terms import (
    EVERY_TIER,
    TIERS,
    ModelLimits,
    ModelPrice,
    PriceBand,
    read_limits,
    read_price,
)

__all__ = [
    "EVERY_TIER",
    "TIERS",
    "DownloadSettings",
    "EngineSettings",
    "Field",
    "GlmEngineSettings",
    "LlamaCppEngineSettings",
    "ModelFile",
    "ModelLimits",
    "ModelPrice",
    "ModelSettings",
    "ModerationSettings",
    "OpenAIEngineSettings",
    "PriceBand",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "fields_of",
    "load_settings",
    "read_limits",
    "read_price",
]
