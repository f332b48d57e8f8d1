"""One frozen structure with everything that can be set, and the one function that reads it."""

from openbigmodel.settings.fields import (
    DownloadSettings,
    EngineSettings,
    Field,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelFile,
    ModelSettings,
    OpenAIEngineSettings,
    Secret,
    ServerSettings,
    Settings,
    SettingsError,
    fields_of,
)
from openbigmodel.settings.loader import load_settings

__all__ = [
    "DownloadSettings",
    "EngineSettings",
    "Field",
    "GlmEngineSettings",
    "LlamaCppEngineSettings",
    "ModelFile",
    "ModelSettings",
    "OpenAIEngineSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "fields_of",
    "load_settings",
]
