class NotFound(LookupError):
    """No pattern fits the path."""


class MethodNotAllowed(LookupError):
    """A pattern fits, but not for this method."""

    def __init__(self, allowed):
        super().__init__(f"allowed: {', '.join(allowed)}")
        self.allowed = allowed
