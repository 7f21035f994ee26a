"""The door for programs that speak OpenAI's HTTP API."""
