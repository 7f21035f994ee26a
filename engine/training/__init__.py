"""Draft adapters: what they are trained on, and how. The only part of Triroute that runs PyTorch."""
