"""How many tokens a prompt has, for a caller who wants to know before asking: by an engine's own tokenizer, or guessed.

Rule: the request is judged as if it were to be answered; nothing is held, charged or noted as usage.
"""

import asyncio
from typing import Literal

from openbigmodel.engines.registry import Route, Target
from openbigmodel.engines.translate import to_openai
from openbigmodel.inference.anthropic.counts import estimated_prompt
from openbigmodel.inference.anthropic.read import ReplyWishes
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_messages
from openbigmodel.inference.dialect import Asked
from openbigmodel.inference.prompt_count import PromptQuestion

CountedBy = Literal["engine", "estimate"]


async def count_tokens(asked: Asked, route: Route, surface: Surface) -> tuple[int, CountedBy]:
    """The tokens and who has counted them. Raises ApiError for a request that would be refused."""
    wishes = asked.extra
    assert isinstance(wishes, ReplyWishes)
    request, model = asked.request, route.model
    if model.stream_only:
        request.stream = True
    messages = read_messages(request, model)
    generation = check_chat_request(request, model, surface)
    # Images and documents are fetched for an answer only.
    targets = () if wishes.media else route.targets
    for target in targets:
        profile = target.engine.profile
        if profile.prompt_counter and target.engine.state == "ready":
            body = to_openai(request, messages, target.name, generation, profile)
            counted = await _asked_of(target, body)
            if counted is not None:
                return counted, "engine"
    return estimated_prompt(wishes), "estimate"


async def _asked_of(target: Target, body: bytes) -> int | None:
    """The engine's count; None within a second or so if it has none."""
    answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def answer(count: int | None) -> None:
        if not answered.done():
            answered.set_result(count)

    question = PromptQuestion(target.engine, body, answer)
    try:
        return await answered
    finally:
        # The caller may have gone.
        question.give_up()
