"""What kind of output a step asks for."""

from triroute.router.classifier.structural import classify

__all__ = ["classify"]
