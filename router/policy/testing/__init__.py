"""`triroute policy test`: cases beside a policy, decided as live steps are."""

from triroute.router.policy.testing.cases import Suite, Test, beside, read_suite
from triroute.router.policy.testing.run import Outcome, Result, decided, run

__all__ = ["Outcome", "Result", "Suite", "Test", "beside", "decided", "read_suite", "run"]
