"""What kind of output a step asks for."""

from triroute.router.classifier.cascade import classify, model

__all__ = ["classify", "model"]
