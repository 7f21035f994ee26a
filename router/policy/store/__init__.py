"""Where the changes of a policy are kept: in memory for one router, in Redis for a fleet."""

from triroute.router.policy.store.base import ANY, Acknowledgement, Change, Kind, Move, Store, StoreHealth, digest

__all__ = ["ANY", "Acknowledgement", "Change", "Kind", "Move", "Store", "StoreHealth", "digest"]
