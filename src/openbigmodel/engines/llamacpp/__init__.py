"""The embedded engine: one llama.cpp server process per model, supervised."""

from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.llamacpp.spec import EngineTimings, LlamaCppSpec
from openbigmodel.engines.llamacpp.supervisor import EngineState, Supervisor

__all__ = ["EngineState", "EngineTimings", "EngineUnavailable", "LlamaCppSpec", "Supervisor"]
