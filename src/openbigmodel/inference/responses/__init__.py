"""OpenAI's Responses: `POST …/responses` in its own words, everything behind it as for any other request (api.md §5).

read    a request in GLM's words: `items` makes messages, `tools` makes functions
write   the answer, an object or events
store   what was asked and answered, for a week, for those who want it
errors  refusals
"""
