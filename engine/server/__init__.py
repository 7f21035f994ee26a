"""The engine's gRPC face."""
