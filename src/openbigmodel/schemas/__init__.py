"""Wire types only: what callers and engines send, as typed structures without behaviour."""
