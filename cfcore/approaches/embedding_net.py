"""The neural network of two approaches: plain PyTorch trains it in a loop, fastai in a Learner.

A user and a movie become four rows of e numbers (a factor row and a "bias" row each), laid side by side:

    x = [p_u ; c_u ; q_m ; d_m]               (4e)
    r = W2 relu(W1 x + b1) + b2               (1)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cfcore.approaches.torch_parts import array
from cfcore.models import NetModel


class EmbeddingNet(nn.Module):
    """``n_users`` and ``n_movies`` rows of ``embedding_size`` numbers; one hidden layer of ``hidden_size`` units."""

    def __init__(self, n_users: int, n_movies: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.user = nn.Embedding(n_users, embedding_size)
        self.user_bias = nn.Embedding(n_users, embedding_size)
        self.movie = nn.Embedding(n_movies, embedding_size)
        self.movie_bias = nn.Embedding(n_movies, embedding_size)
        self.hidden = nn.Linear(4 * embedding_size, hidden_size)
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        rows = [self.user(users), self.user_bias(users), self.movie(movies), self.movie_bias(movies)]
        x = torch.cat(rows, dim=1)  # (n, 4e)
        return self.output(torch.relu(self.hidden(x)))  # (n, 1)

    def to_model(self, user_rows: np.ndarray | slice = slice(None), movie_rows: np.ndarray | slice = slice(None)):
        """The weights as arrays; ``user_rows`` and ``movie_rows`` say which embedding row belongs to each index."""
        e = self.user.embedding_dim
        return NetModel(
            user_inputs=np.hstack([array(self.user.weight), array(self.user_bias.weight)])[user_rows],
            item_inputs=np.hstack([array(self.movie.weight), array(self.movie_bias.weight)])[movie_rows],
            weights=(array(self.hidden.weight).T, array(self.output.weight).T),
            biases=(array(self.hidden.bias), array(self.output.bias)),
            n_factors=(e, e),
        )
