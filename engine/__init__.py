"""The tri-mode engine: one checkpoint, one cache, three ways to decode."""
