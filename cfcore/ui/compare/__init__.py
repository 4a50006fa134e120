"""The Compare page: runs side by side as a table, as curves and as a sweep, and what can be done with them."""
