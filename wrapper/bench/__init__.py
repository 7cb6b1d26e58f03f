"""How fast the package is against the plain way of doing the same work, on the machine at hand."""
