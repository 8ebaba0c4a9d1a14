"""The game and what it is made of."""
