"""Nothing here is for Python: compiled modules unpack ids."""
