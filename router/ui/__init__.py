"""The viewer: what ran, token by token, in a browser. Its page and its data; no build step, nothing from elsewhere."""
