"""Deep models from which rows can be drawn."""
