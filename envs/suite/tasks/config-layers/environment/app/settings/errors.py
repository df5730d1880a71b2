class ConfigError(ValueError):
    """The configuration is wrong."""
