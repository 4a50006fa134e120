"""Explore: the map of films that a model has learned."""

from cfcore.ui.explore.page import explore
from cfcore.ui.frame import page
from cfcore.ui.runs import choose_run

with page("Explore", "What has the model learned about the films, from nothing but ratings?"):
    chosen = choose_run("explore")
    if chosen is not None:
        explore(chosen)
