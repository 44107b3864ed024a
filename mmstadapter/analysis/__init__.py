"""What models cost, where they look, and whether they use time."""
