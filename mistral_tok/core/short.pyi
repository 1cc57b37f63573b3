"""Nothing here is for Python: short texts are encoded by compiled modules."""
