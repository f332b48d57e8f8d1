"""What an operator does to accounts, keys, money and prices: one service, by a local socket or on a stopped folder."""
