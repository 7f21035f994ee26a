"""How often the drafts of an adapter hold, by real decoding."""
