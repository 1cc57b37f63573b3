"""Nothing here is for Python: pieces are laid out and read by compiled modules."""
