"""Anthropic's Messages on the platform's pipeline: requests become GLM's, answers become Anthropic's (api.md §6)."""
