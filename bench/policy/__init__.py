"""What a policy costs: decisions, calls, changes of a fleet, and outages of its Redis."""
