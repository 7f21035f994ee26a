"""Operators' YAML: parsed once, frozen, decided without I/O."""
