"""The class: how to get in, what the teacher sets, and the board."""
