"""What this package raises on purpose; each is a ValueError that names the value, its place and the remedy."""


class ModelError(ValueError):
    """Base of the errors of the model package."""


class ConfigError(ModelError):
    """A configuration value is impossible, or describes a model of another kind."""


class CacheError(ModelError):
    """A KV cache cannot do what is asked: it is full, or what is wanted back has been overwritten."""


class WeightsError(ModelError):
    """A checkpoint is incomplete, malformed, dangerous to open, or does not fit its configuration."""


class GenerateError(ModelError):
    """Generation was asked for something impossible, or the model gave logits that are no numbers."""
