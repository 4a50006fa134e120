"""Data: choose the ratings everything else works with, and look at them."""

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import at_a_glance, how_many, show_table, terms_of_use
from cfcore.ui.frame import page
from cfcore.ui.pictures import matrix, spread_of_ratings
from cfcore.ui.sources import catalogue, upload
from cfcore.ui.words import count

ROW, TABLE = 35, 420  # pixels: one row of a table, and the highest a table may be
MOST_ROWS = 2000  # sent to the browser; a search goes through all


@st.cache_data(max_entries=3, show_spinner=False)
def movie_table(name: str) -> pd.DataFrame:
    """One row a movie, most rated first; without the columns of which nothing is known."""
    ratings = state.ratings(name)
    n = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    total = np.bincount(ratings.item_idx, weights=ratings.rating, minlength=ratings.n_items)
    items = ratings.items
    table = pd.DataFrame(
        {
            "Title": items.title,
            "Year": pd.Series(items.year).astype("Int64").mask(items.year == 0),
            "Genres": items.genre_text(),
            "Ratings": n,
            "Mean": np.where(n > 0, total / np.maximum(n, 1), np.nan),
        }
    )
    known = {"Year": bool((items.year != 0).any()), "Genres": bool((table["Genres"] != "").any())}
    table = table.drop(columns=[name for name, any_known in known.items() if not any_known])
    return table.sort_values("Ratings", ascending=False, ignore_index=True)


def movies(ratings: Ratings) -> None:
    st.markdown("**The movies**")
    table = movie_table(ratings.about.name)
    wanted = st.text_input("Search titles and genres", placeholder="Part of a title or a genre", live="300ms").strip()
    if wanted:
        texts = (table[name].astype(str) for name in ("Title", "Genres") if name in table)
        found = [text.str.contains(wanted, case=False, regex=False) for text in texts]
        table = table[np.logical_or.reduce(found)]
    if table.empty:
        st.info("No movie has that in its title or genres.", icon=":material/search_off:")
        return
    found, table = len(table), table.head(MOST_ROWS)
    show_table(
        table,
        hide_index=True,
        height=min(ROW * (len(table) + 1) + 2, TABLE),
        column_config={
            "Title": st.column_config.TextColumn(width="medium"),
            "Genres": st.column_config.TextColumn(width="medium"),
            "Year": st.column_config.NumberColumn(format="%d", width="small"),
            "Ratings": st.column_config.NumberColumn(format="localized", width="small"),
            "Mean": st.column_config.NumberColumn(format="%.2f", width="small"),
        },
        alt=f"Table of {how_many(len(table), 'movie', 'movies')} with {', '.join(map(str.lower, table.columns))}.",
    )
    here = how_many(found, "movie", "movies")
    if found > MOST_ROWS:
        here = f"The {count(MOST_ROWS)} most rated of {here}, a search finds the others"
    st.caption(f"{here}; a click on a column's name sorts by it.")


with page("Data", "Which ratings do we learn from, and what do they look like?") as ratings:
    left, right = st.columns([1, 1.9], gap="medium")
    with left:
        st.subheader("Choose", anchor=False)
        catalogue()
        with st.expander("Your own ratings", icon=":material/upload_file:"):
            upload()
    with right:
        at_a_glance(ratings)
        spread_of_ratings(ratings)
        matrix(ratings)
        movies(ratings)
        terms_of_use(ratings)
