"""Nothing here is for Python: workers are made and called by compiled modules."""
