"""CPU kernels: Python compiled through Numba, inner loops written over 16 lanes. Every row is computed by itself."""
