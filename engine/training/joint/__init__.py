"""The joint recipe: a whole checkpoint, trained to write autoregressively and by block diffusion alike."""
