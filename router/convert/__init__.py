"""Protobufs of router.proto to the domain and back: the only reader of requests."""
