"""Nothing here is for Python: merging is called by compiled modules."""
