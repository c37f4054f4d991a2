"""The rules of the game: pure functions over plain data. No clock, no dice, no I/O."""
