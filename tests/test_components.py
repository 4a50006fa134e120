"""Widgets that the page fills: what the browser still says of an older one must not undo the page's change."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def script(plain: bool) -> None:
    import streamlit as st

    from cfcore.ui.components import shows

    def take(letter: str) -> None:
        st.session_state["wanted"] = letter

    wanted = st.session_state.setdefault("wanted", "a")
    if plain:
        st.session_state["letters"] = wanted
        options = {"key": "letters", "on_change": lambda: take(st.session_state["letters"])}
    else:
        options = shows("letters", wanted, take)
    st.radio("Letter", ["a", "b", "c"], **options)
    st.button("The page says c", on_click=take, args=("c",))


@pytest.mark.parametrize("plain", [True, False])
def test_a_late_message_does_not_undo_what_the_page_changed(plain: bool) -> None:
    app = AppTest.from_function(script, args=(plain,)).run()
    app.radio[0].set_value("b").run()
    assert app.session_state["wanted"] == "b"
    assert app.radio[0].key == "letters"  # the person's own choice leaves the widget as it is
    before = app._tree.get_widget_states()  # what a timer in the browser sends until the new page has arrived
    app.button[0].click().run()
    assert (app.session_state["wanted"], app.radio[0].value) == ("c", "c")
    app._run(before)
    assert app.session_state["wanted"] == ("b" if plain else "c")  # the trap, and that it is avoided
