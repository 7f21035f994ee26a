"""Structured output, after the engine: is it what was asked for, and what happens if not."""
