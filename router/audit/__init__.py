"""The audit log: what happened to each step, so that nothing can be altered afterwards without being found.

`store` reads, `writer` writes, `merkle` and `checkpoint` prove.
"""
