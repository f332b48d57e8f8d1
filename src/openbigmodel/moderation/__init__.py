"""Moderation: word lists and an HTTP checker, on what callers send and on what models answer; off unless set."""
