"""The door: classify a step, decide how to decode it, stream it, leave a record."""
