"""Whether any server speaks the GLM wire format: checks that talk to it from outside, and what came of them.

Rule: knows nothing of this platform's own server, so that a result about a stranger is worth as much as one about us.
"""
