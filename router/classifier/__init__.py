"""What kind of output a step asks for."""

from triroute.router.classifier.cascade import classify

__all__ = ["classify"]
