"""A real PostgreSQL server for tests."""

from triroute.bench.audit.postgres_server import PostgresServer

__all__ = ["PostgresServer"]
