"""SQLite: the data folder, the connection with its one writer, migrations and named queries."""
