"""What an operator does to accounts, keys, money and prices: one service, reached over a local socket or on a stopped folder."""
