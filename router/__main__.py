"""`python -m triroute.router` is `triroute`."""

from triroute.router.cli import main

main()
