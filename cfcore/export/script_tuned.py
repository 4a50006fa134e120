"""The second half of a script for the three approaches that the article leaves out; see ``script_lessons``."""

from __future__ import annotations

from cfcore.config import RunConfig
from cfcore.estimate import ALS_NUMBERS, BAYES_NUMBERS, MF_STEPS
from cfcore.export.lesson_source import cut
from cfcore.export.script_parts import PRINT, TENSORS, Lesson, code, text

ASIDE, FIRST, FIRST_ALS = 0.05, 0.05, 0.1  # as in mf, als and bayes, which import torch
NOISE, LEAST_NOISE = 0.7, 1e-4  # as in bayes


def mf(config: RunConfig) -> Lesson:
    return Lesson(
        packages=("torch",),
        imports=(
            "import math",
            "import torch",
            "from torch import Tensor",
            "from torch.optim import Adam",
            "from torch.optim.lr_scheduler import OneCycleLR",
        ),
        cells=(
            text(
                "## One table of rows\n\n"
                "Every user and every movie has a row of factors and a bias. One rating in twenty is kept aside, to\n"
                "see which epoch was best."
            ),
            code(f"""\
FIRST = {FIRST}  # standard deviation of the first factors
torch.set_num_threads(1)  # batches of this size gain nothing from more


{cut("mf", "first_rows", "product", "pulls", "lengths")}


def tensors(rows):
    pairs = torch.stack([torch.tensor(user[rows]), torch.tensor(movie[rows]) + n_users], 1)
    return pairs, torch.tensor(rating[rows])  # (n, 2), (n,)


random = torch.Generator().manual_seed(seed)
n_aside = max(1, round({ASIDE} * len(train)))
kept, aside = torch.randperm(len(train), generator=random).split([len(train) - n_aside, n_aside])
pairs, ratings = tensors(train[kept.numpy()])
aside_pairs, aside_ratings = tensors(train[aside.numpy()])
valid_pairs, valid_ratings = tensors(valid)
mean, unit = ratings.mean().item(), ratings.std().item() or 1.0
targets = (ratings - mean) / unit

count = torch.bincount(pairs.flatten(), minlength=n_users + n_movies)
W = first_rows(count, embedding_size, random).requires_grad_()
"""),
            text(
                "## Adam on minibatches, one-cycle, and the weights of the best epoch\n\n"
                "Rows are pulled to zero for each of their ratings, divided by the root of their number."
            ),
            code(f"""\
pull = pulls(count, weight_decay)
optimizer = Adam([W], lr=learning_rate, betas=(0.9, 0.99), fused=True)
batch_size = max(batch_size, len(ratings) // {MF_STEPS})  # every step of Adam moves all rows
n_batches = math.ceil(len(ratings) / batch_size)
schedule = OneCycleLR(optimizer, learning_rate, total_steps=n_batches * epochs)


def loss(pairs, ratings):
    with torch.no_grad():
        return (mean + unit * product(W[pairs]) - ratings).square().mean().item()


lowest, best_rows = math.inf, W.detach()
train_losses, valid_losses = [], []
for epoch in range(1, epochs + 1):
    met = 0.0
    for rows in torch.randperm(len(ratings), generator=random).split(batch_size):
        chosen = pairs[rows]  # (b, 2)
        factors = W.index_select(0, chosen.flatten()).view(*chosen.shape, -1)  # (b, 2, k + 1)
        errors = (product(factors) - targets[rows]).square()  # (b,)
        met += unit**2 * errors.mean().item() * len(rows)
        optimizer.zero_grad()
        (errors + (pull[chosen] * lengths(factors)).sum(1)).mean().backward()
        optimizer.step()
        schedule.step()
    if (aside_loss := loss(aside_pairs, aside_ratings)) < lowest:
        lowest, best_rows = aside_loss, W.detach().clone()
{PRINT.format(train="met / len(ratings)", valid="loss(valid_pairs, valid_ratings)")}
predictions = (mean + unit * product(best_rows[valid_pairs])).numpy()
"""),
        ),
    )


def als(config: RunConfig) -> Lesson:
    return Lesson(
        packages=("torch",),
        imports=("import torch", "from torch import Tensor"),
        cells=(
            text(
                "## Each half solved exactly\n\n"
                "With the movies held still, the best row of a user is linear regression, and the other way round: no\n"
                "gradient, and no learning rate."
            ),
            code(f"""\
MOST_NUMBERS = {ALS_NUMBERS}  # in the rows of those who are solved for together


{cut("als", "solve", "product", "alike")}


{TENSORS}

users, movies, ratings = tensors(train)
valid_users, valid_movies, valid_ratings = tensors(valid)
mean, unit = ratings.mean(), ratings.std() or 1.0
targets = (ratings - mean) / unit
"""),
            text("## A few rounds"),
            code(f"""\
k = embedding_size
random = torch.Generator().manual_seed(seed)
X, Y = torch.zeros(n_users, k + 1), torch.zeros(n_movies, k + 1)  # rows (p_u, b_u) and (q_m, b_m)
Y[:, :k] = {FIRST_ALS} * torch.randn(n_movies, k, generator=random)
Y[torch.bincount(movies, minlength=n_movies) == 0] = 0  # nobody rated them: nothing would correct these
ridge = torch.full((k + 1,), float(weight_decay))
ridge[k] /= 2
of_users, of_movies = alike(users, n_users, k + 1), alike(movies, n_movies, k + 1)


def loss(users, movies, ratings):
    return (mean + unit * product(X, Y, users, movies) - ratings).square().mean().item()


train_losses, valid_losses = [], []
for epoch in range(1, epochs + 1):
    for sought, still, others, groups in ((X, Y, movies, of_users), (Y, X, users, of_movies)):
        for owners, places in groups:
            sought[owners] = solve(still, others, targets, places, ridge)
{PRINT.format(train="loss(users, movies, ratings)", valid="loss(valid_users, valid_movies, valid_ratings)")}
predictions = (mean + unit * product(X, Y, valid_users, valid_movies)).numpy()
"""),
        ),
    )


def bayes(config: RunConfig) -> Lesson:
    return Lesson(
        packages=("torch", "scipy", "scikit-learn"),
        imports=(
            "import torch",
            "from scipy.sparse import csr_array",
            "from sklearn.decomposition import TruncatedSVD",
            "from torch import Tensor",
            "from torch.nn.functional import embedding_bag",
        ),
        cells=(
            text(
                "## Rows that know how sure they are\n\n"
                "Every row is a normal distribution. What is unsure of a movie counts as less for its users, and the\n"
                "other way round; before any rating a row is guessed from who rated what."
            ),
            code(f"""\
MOST_NUMBERS = {BAYES_NUMBERS}  # in the matrices of those who are solved for together
FIRST = {FIRST_ALS}  # standard deviation of the first factors, and of what is not known of them


{cut("bayes", "Side", "solve", "product", "who_rated_what", "groups", "together")}


{TENSORS}

users, movies, ratings = tensors(train)
valid_users, valid_movies, valid_ratings = tensors(valid)
mean, unit = ratings.mean(), ratings.std() or 1.0
targets = (ratings - mean) / unit
"""),
            text("## A few rounds\n\nAfter every half, the prior and the noise become those that suit what was found."),
            code(f"""\
k = embedding_size
random = torch.Generator().manual_seed(seed)
first = FIRST * torch.randn(n_movies, k, generator=random)
v_users, v_movies = who_rated_what(users, movies, n_users, n_movies, implicit_size)
U, M = Side(torch.zeros(n_users, k), v_users), Side(first, v_movies)
of_users, of_movies = groups(users, movies, targets, n_users, k), groups(movies, users, targets, n_movies, k)


def loss(users, movies, ratings):
    return (mean + unit * product(U, M, users, movies) - ratings).square().mean().item()


noise = {NOISE}
train_losses, valid_losses = [], []
for epoch in range(1, epochs + 1):
    for sought, still, parts in ((U, M, of_users), (M, U, of_movies)):
        error = targets.square().sum().item()
        for part in parts:
            error += solve(sought, still, *part, noise)
        noise = max(error / len(targets), {LEAST_NOISE})  # the mean squared error, over all that is unsure
        sought.learn_prior()
{PRINT.format(train="loss(users, movies, ratings)", valid="loss(valid_users, valid_movies, valid_ratings)")}
predictions = (mean + unit * product(U, M, valid_users, valid_movies)).numpy()
"""),
        ),
    )
