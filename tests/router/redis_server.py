"""A real Redis server for tests."""

from triroute.bench.policy.redis_server import RedisServer, program

__all__ = ["RedisServer", "program"]
