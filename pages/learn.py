"""Learn: the ideas behind collaborative filtering in six short lessons, with the numbers of the chosen data."""

from cfcore.ui.frame import arrived, page
from cfcore.ui.learn.page import lesson_page, read_address

with page("Learn", "What is a latent factor, and how does a machine find it?") as ratings:
    if arrived():
        read_address()
    lesson_page(ratings)
