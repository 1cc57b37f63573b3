from mistral_tok.core.tables import Tables

class Reader:
    def __init__(self, tables: Tables, defined: list[int], prefix: int, every: bool) -> None: ...
