"""Requests that are refused, sent with an SDK as it comes: `refused.py CASES ZaiClient|ZhipuAiClient|ZhipuAI`.

Prints how each case went; how often the SDK tried is in the server's log.
"""

import importlib
import json
import sys

from scenarios import GREETING, described

MODULES = {"ZaiClient": "zai", "ZhipuAiClient": "zai", "ZhipuAI": "zhipuai"}

name = sys.argv[2]
make = getattr(importlib.import_module(MODULES[name]), name)
outcomes = {}
for case in json.loads(sys.argv[1]):
    client = make(api_key=case["key"], base_url=case["base_url"], max_retries=2)
    try:
        client.chat.completions.create(messages=GREETING, model=case["model"], **case["fields"])
        outcomes[case["name"]] = {}
    except Exception as error:  # noqa: BLE001  whatever the SDK raises is what the test wants to see
        outcomes[case["name"]] = described(error)
sys.stdout.write(json.dumps(outcomes, default=str))
