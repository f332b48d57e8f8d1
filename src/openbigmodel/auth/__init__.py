"""Who is calling: API keys, how they are checked, and where they are kept."""
