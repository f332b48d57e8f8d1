"""Everything that runs models, always spoken to over HTTP."""
