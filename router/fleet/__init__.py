"""What the routers of a fleet tell each other in the background: load, sessions, and what tenants have used."""
