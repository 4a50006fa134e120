"""What the Recommend page shows: a user, you, one pair, and the ranking; ``cfcore.ui.you`` keeps your ratings."""
