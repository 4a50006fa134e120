"""The Learn page: six short lessons, each with one thing to touch and one thing to take away."""
