"""Engines as workers drive them, one file each."""
