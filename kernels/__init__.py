"""Row-invariant operators."""
