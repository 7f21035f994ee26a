"""Policies against recorded traffic: what they would have decided, and what that would have cost."""

from triroute.router.policy.traffic.recorded import Recorded, Traffic, read_traffic
from triroute.router.policy.traffic.replay import Made, replay

__all__ = ["Made", "Recorded", "Traffic", "read_traffic", "replay"]
