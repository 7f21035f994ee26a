"""Wire contracts of Triroute: .proto files, and beside them the stubs that `make stubs` writes."""
