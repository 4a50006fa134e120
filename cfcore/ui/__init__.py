"""The pages' frame, state and parts: the only modules of cfcore that import Streamlit."""
