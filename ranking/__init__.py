"""Pure mathematics on plain arrays and small records."""
