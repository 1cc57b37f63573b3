"""Nothing here is for Python: batches are laid out for compiled modules."""
