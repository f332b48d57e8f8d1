"""Requests that are refused, sent with Anthropic's SDK as it comes: `anthropic_refused.py CASES`.

Prints how each case went; how often the SDK tried is in the server's log.
"""

import json
import sys

import anthropic
from scenarios import GREETING, described

outcomes = {}
for case in json.loads(sys.argv[1]):
    client = anthropic.Anthropic(auth_token=case["key"], base_url=case["base_url"], max_retries=2)
    try:
        client.messages.create(messages=GREETING, model=case["model"], max_tokens=9)
        outcomes[case["name"]] = {}
    except Exception as error:  # noqa: BLE001  whatever the SDK raises is what the test wants to see
        outcomes[case["name"]] = described(error)
sys.stdout.write(json.dumps(outcomes, default=str))
