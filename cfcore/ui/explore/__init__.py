"""What the Explore page shows: the map, the axes, the biases, the flight, and the truth behind simulated ratings."""
