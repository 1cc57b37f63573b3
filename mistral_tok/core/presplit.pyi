"""Nothing here is for Python: the functions are called from other compiled modules."""
