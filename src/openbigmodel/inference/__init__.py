"""One request from admission to settlement, whatever door it came through."""
