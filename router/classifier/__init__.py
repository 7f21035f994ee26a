"""What kind of output a step asks for."""
