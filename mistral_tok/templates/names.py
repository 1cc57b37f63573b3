"""Names that attributes of plain values and of loops have."""

METHODS = frozenset(name for kind in (dict, list, tuple, str) for name in dir(kind))
"""Methods come before keys of the same name in `value.name`."""

LOOP = frozenset({"index", "index0", "first", "last", "nextitem", "previtem", "length"})
"""What is read from `loop`."""
