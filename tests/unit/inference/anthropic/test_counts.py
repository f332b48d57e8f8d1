from openbigmodel.billing.usage import Usage
from openbigmodel.inference.anthropic.conversation import MEDIA_TOKENS
from openbigmodel.inference.anthropic.counts import estimated_prompt, reply_usage
from openbigmodel.inference.anthropic.read import ReplyWishes


def test_what_came_from_the_cache_is_counted_once() -> None:
    usage = reply_usage(Usage(552, 20, 30, 5))
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (532, 20)
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (30, 5)
    assert (usage.cache_creation_input_tokens, usage.server_tool_use.web_search_requests) == (0, 0)


def test_an_estimate_is_rather_too_large() -> None:
    assert 1 <= estimated_prompt(ReplyWishes()) <= 20
    assert 250 <= estimated_prompt(ReplyWishes(prompt_bytes=1000)) <= 300
    assert estimated_prompt(ReplyWishes(media=2)) >= 2 * MEDIA_TOKENS
