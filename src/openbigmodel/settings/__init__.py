"""One frozen structure with everything that can be set, and the one function that reads it."""

from openbigmodel.settings.engine_fields import (
    EngineSettings,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelSettings,
    OpenAIEngineSettings,
)
from openbigmodel.settings.fields import (
    DownloadSettings,
    Field,
    MediaSettings,
    ModerationSettings,
    ServerSettings,
    Settings,
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
from openbigmodel.settings.values import (
    ModelFile,
    Secret,
    Secrets,
    SettingsError,
)

__all__ = [
    "EVERY_TIER",
    "TIERS",
    "DownloadSettings",
    "EngineSettings",
    "Field",
    "GlmEngineSettings",
    "LlamaCppEngineSettings",
    "MediaSettings",
    "ModelFile",
    "ModelLimits",
    "ModelPrice",
    "ModelSettings",
    "ModerationSettings",
    "OpenAIEngineSettings",
    "PriceBand",
    "Secret",
    "Secrets",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "fields_of",
    "load_settings",
    "read_limits",
    "read_price",
]
