from mistral_tok.core.tables import Tables

class Spans:
    def __init__(self, tables: Tables, prefix: int, every: bool) -> None: ...
