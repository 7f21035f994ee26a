"""The HTTP door: what browsers and scrapers read."""
