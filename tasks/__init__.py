"""What is done: one room per technology. See README.md for the map."""
