"""Responses as the pipeline has it: see `Dialect`."""

from functools import partial

from openbigmodel.errors import ApiError, Language
from openbigmodel.inference.dialect import Asked, ReplyFacts
from openbigmodel.inference.responses.errors import header_lines, render
from openbigmodel.inference.responses.read import Question, read_responses_request
from openbigmodel.inference.responses.store import ResponseStore, StoredResponse
from openbigmodel.inference.responses.write import ResponseHead, ResponsesWriter


class ResponsesDialect:
    """`POST …/responses`. What is to be kept is handed to `store` as the answer ends."""

    name = "responses"
    id_header = b"x-request-id"

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def read(self, body: bytes, account_id: str) -> Asked:
        """See Dialect. Raises ApiError 1210, 1213, 1214 or 1303, 500 when the store fails."""
        store = self._store
        request, glm_body, question = read_responses_request(
            body, account_id, partial(store.conversation, account_id)
        )
        if question.store:
            store.check_room(account_id)
        return Asked(request, glm_body, question)

    def writer(self, facts: ReplyFacts, asked: Asked) -> ResponsesWriter:
        """See Dialect."""
        question, model = asked.extra, facts.model
        assert isinstance(question, Question)
        shown = model.reasoning_tokens
        head = ResponseHead(
            facts.id,
            facts.created_s,
            facts.named,
            facts.first_call,
            question.called,
            question.instructions,
            question.previous_id,
            question.prompt_cache_key,
            question.metadata,
            question.parallel,
            model.cached_tokens,
            shown == "always" or (shown == "thinking" and facts.generation.thinking is not False),
        )

        def keep(response: bytes) -> None:
            self._store.keep(
                StoredResponse(
                    head.response_id, question.account_id, question.previous_id, question.input, response
                )
            )

        return ResponsesWriter(
            head, streams=bool(facts.request.stream), keep=keep if question.store else None
        )

    def error(
        self, error: ApiError, language: Language, log_id: str, asked: Asked | None = None
    ) -> tuple[int, bytes, bytes]:
        """See Dialect. With `asked`, errors found later name the fields of this request, not GLM's."""
        return error.status, header_lines(error), render(error, language, asked)
