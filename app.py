"""Home: what this is, the idea in one picture, the data at a glance, and where to go."""

import streamlit as st

from cfcore.ui.components import at_a_glance, terms_of_use
from cfcore.ui.frame import page
from cfcore.ui.home import afterwards, the_idea, ways_to_train

QUESTION = "How can a machine know what you would think of a film that you have not seen?"

with page("How recommendations are learned", QUESTION) as ratings:
    st.markdown(
        "Each person has rated a few movies, and most of the user x movie matrix is empty. Collaborative filtering "
        "describes every user and every movie by a few numbers, its latent factors, so that their products come close "
        "to the ratings that were given. Here you train it five ways, watch each learn, and see what it beats. "
        "The five ways follow a teaching article that goes from one-hot vectors to fastai; its settings are the "
        "presets here."
    )
    the_idea(ratings)
    st.page_link("pages/learn.py", label="See how, in six short lessons", icon=":material/school:")
    at_a_glance(ratings)
    ways_to_train()
    afterwards()
    terms_of_use(ratings)
