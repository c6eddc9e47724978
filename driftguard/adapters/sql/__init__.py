"""The ledger in a SQL database (SQLAlchemy): SQLite by default, PostgreSQL where many share it, or a file in S3."""
