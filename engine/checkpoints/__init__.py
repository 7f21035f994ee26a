"""Checkpoint files to weights."""
