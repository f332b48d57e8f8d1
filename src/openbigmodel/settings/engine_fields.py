"""The settings of engines and of the models that they answer for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from openbigmodel.settings.terms import ModelLimits, ModelPrice
from openbigmodel.settings.values import Count, ModelFile, Name, Secret, Secrets, Section, Text, described


class _Engine(Section, frozen=True, kw_only=True, tag_field="kind"):
    name: Annotated[Name, described("The name that models refer to; unique.")]
    max_output: Annotated[
        Count | None,
        described(
            "Most tokens that one answer may have here. Default: 4096 built in, elsewhere the model's own cap."
        ),
    ] = None

    @property
    def kind(self) -> str:
        """`llamacpp`, `openai` or `glm`."""
        return str(self.__struct_config__.tag)


class LlamaCppEngineSettings(_Engine, frozen=True, kw_only=True, tag="llamacpp"):
    """The built-in engine: a GGUF file in a worker process of this server."""

    model: Annotated[
        ModelFile,
        described(
            "GGUF file, hf:OWNER/REPO/FILE or modelscope:OWNER/REPO/FILE; of a split model, the first part."
        ),
    ]
    chat_template: Annotated[
        Path | None, described("Jinja file that replaces the chat template in the GGUF.")
    ] = None
    context_tokens: Annotated[
        Count,
        described(
            "Longest prompt and answer together, of one request; the model's own training length caps it."
        ),
    ] = 8192
    slots: Annotated[Count, described("Requests answered at once; each takes memory for its context.")] = 4
    threads: Annotated[
        Count | None, described("CPU threads. Default: one less than this process may use.")
    ] = None


class _RemoteEngine(_Engine, frozen=True, kw_only=True):
    base_url: Annotated[str, described("URL before /chat/completions, such as http://10.0.0.5:8000/v1.")]
    max_in_flight: Annotated[
        Count | None,
        described(
            "Requests that it is sent at once; others wait for a place, or go to another engine. Default: no limit."
        ),
    ] = None

    first_token_s: Annotated[
        Count | None,
        described(
            "Seconds until the first word of an answer, after which the engine is taken for dead and the next one "
            "asked. Default: 600, because a prompt of a million tokens takes minutes; a model with other engines "
            "goes by what this one is used to, which is seconds. See docs/routing.md."
        ),
    ] = None
    between_tokens_s: Annotated[
        Count | None,
        described("Seconds from word to word, after which it is taken for dead. Default: 120."),
    ] = None


class OpenAIEngineSettings(_RemoteEngine, frozen=True, kw_only=True, tag="openai"):
    """A server that speaks the OpenAI API: vLLM, SGLang, llama-server, Ollama, Ray Serve …"""

    api_key: Annotated[
        Secret,
        described("Credential to send, best as env:NAME, which reads the environment variable NAME."),
    ] = Secret("")
    model: Annotated[
        Text | None,
        described("Model name to ask for where a [[models]] entry gives no target."),
    ] = None
    profile: Annotated[
        Literal[
            "auto",
            "openai",
            "vllm",
            "sglang",
            "llama-server",
            "ollama",
            "ray",
            "lmdeploy",
            "tensorrt-llm",
        ],
        described(
            "Which server it is, and so in which words it is asked; auto finds out at the start and each time that "
            "it comes back. openai fits all others. See docs/engines.md."
        ),
    ] = "auto"
    parse: Annotated[
        Literal["glm45", "glm47", "glm0414"] | None,
        described(
            "It returns a GLM model's raw text, in which the platform finds reasoning and tool calls: glm45 for "
            "GLM-4.5 and 4.6, glm47 for 4.7 and 5, glm0414 for GLM-4-0414. Default: it does that itself."
        ),
    ] = None


class GlmEngineSettings(_RemoteEngine, frozen=True, kw_only=True, tag="glm"):
    """bigmodel.cn, api.z.ai or another Open BigModel."""

    api_key: Annotated[
        Secrets,
        described(
            "API key to send, best as env:NAME, or a list of them that share the work; a conversation stays with "
            "one, whose account has its prompt cached."
        ),
    ] = Secrets()
    auth: Annotated[
        Literal["key", "jwt"],
        described("What is sent: the key itself, or a JWT signed with it, so that its secret stays here."),
    ] = "key"
    coding_base_url: Annotated[
        str,
        described(
            "Base for those keys that belong to a Coding Plan, which is found out. Default: base_url with "
            "/api/coding/paas/ in place of /api/paas/."
        ),
    ] = ""


EngineSettings = LlamaCppEngineSettings | OpenAIEngineSettings | GlmEngineSettings


class ModelSettings(Section, frozen=True, kw_only=True):
    """A model id that callers may ask for, and the engines that answer."""

    id: Annotated[Text, described("The id in requests; letter case does not matter.")]
    engine: Annotated[
        str | tuple[str, ...],
        described("Name of the engine that answers, or a list of engines."),
    ]
    target: Annotated[
        str | tuple[str, ...] | None,
        described(
            "The model's name on the engine; of a list, one for each. Default: the engine's model, or the id."
        ),
    ] = None
    balance: Annotated[
        Literal["failover", "least-load", "prefix", "weighted"],
        described(
            "Which engine of a list is asked first: failover the first that works, least-load the one with the "
            "fewest requests, prefix the one that has the conversation in its cache, weighted in turn by weights."
        ),
    ] = "failover"
    weights: Annotated[
        tuple[Count, ...],
        described("With balance = weighted: how many requests each engine gets to the others' one."),
    ] = ()
    max_tokens: Annotated[
        Count | None, described("Most tokens an answer may have. Default: as in the model catalog.")
    ] = None
    default_max_tokens: Annotated[
        Count | None,
        described(
            "Most tokens of an answer to a request that does not say; never more than max_tokens. Default: as in the "
            "model catalog."
        ),
    ] = None
    context_tokens: Annotated[
        Count | None,
        described(
            "Prompt and answer together have at most so many: what is set aside for a request is no more than that, and "
            "Anthropic's list of models tells it. Default: as in the model catalog."
        ),
    ] = None
    inputs: Annotated[
        tuple[Literal["text", "image", "video", "file", "audio"], ...],
        described(
            "What messages may hold. Default: as in the model catalog; text for a model that it does not have."
        ),
    ] = ()
    price: Annotated[
        ModelPrice | None,
        described(
            "Yuan per million tokens, as numbers or text: { input, output, cached }. By length: { bands = [{ input_from, "
            "output_from, input, output, cached }] }. Also per_call. Default: as in the "
            "model catalog; free for a model that it does not have."
        ),
    ] = None
    limits: Annotated[
        Mapping[str, ModelLimits] | None,
        described(
            "What one account may ask of the model: { in_flight, rpm, tpm, daily }, 0 for no limit; or one such table "
            "for each tier, V0 to V3, and * for all others; without * each has what the next named one below it has. "
            "Default: none, see server.catalog_limits."
        ),
    ] = None

    @property
    def engine_names(self) -> tuple[str, ...]:
        """The engines that may answer, in order."""
        return (self.engine,) if isinstance(self.engine, str) else self.engine

    @property
    def targets(self) -> tuple[str | None, ...]:
        """The model's name on each of them; None where it has the default."""
        names = self.engine_names
        if self.target is None or isinstance(self.target, str):
            return (self.target,) * len(names)
        return self.target


ENGINE_KINDS: Mapping[str, type[EngineSettings]] = {
    "llamacpp": LlamaCppEngineSettings,
    "openai": OpenAIEngineSettings,
    "glm": GlmEngineSettings,
}
