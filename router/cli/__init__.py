"""The command line."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # read when grpc is imported; its notices are not for our screen

from triroute.router.cli.app import main

__all__ = ["main"]
