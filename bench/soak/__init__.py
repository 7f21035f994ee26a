"""Promise 1 under random load: same seed, same text, whatever the exact mode and the company."""
