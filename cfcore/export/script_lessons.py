"""The second half of a script: the model and its training, one function for each approach.

Each gives the imports and the cells of its approach. What stands in the settings' cell (``learning_rate``, ``epochs``
and so on) has a name there, so the code is the same for every run; functions and classes are cut from the lesson files.
The draws from the random generators come in the same order as in the lesson, so that the losses agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cfcore.config import RunConfig
from cfcore.export.lesson_source import cut
from cfcore.export.script_parts import PRINT, TENSORS, Cell, Lesson, code, text
from cfcore.export.script_tuned import als, bayes, mf


def scratch(config: RunConfig) -> Lesson:
    how = {
        "onehot": "One-hot rows times the factors: the lookup as algebra, nearly all of it multiplying by zero.",
        "sparse": "One-hot rows times the factors, of which only the ones are stored.",
        "index": "One-hot times matrix selects a row, so the row may be selected at once.",
        "matrix": "All pairs at once: U V^T is every rating there could be, and a mask keeps those that were given.",
    }
    loop = PRINT.format(train="loss.item()", valid="valid_error")
    return Lesson(
        packages=("torch",),
        imports=("from collections.abc import Callable", "import torch", "from torch import Tensor"),
        cells=(
            text(
                "## Two matrices and a product\n\n"
                "Every user has a row of `U`, every movie a row of `V`: the latent factors. The prediction is the dot\n"
                f"product of the two rows, the loss its mean squared error. {how[config.lookup]}"
            ),
            code(
                "Loss = Callable[[Tensor, Tensor], Tensor]  # of U and V\n\n\n"
                f"{cut('scratch', config.lookup)}\n\n\n{TENSORS}\n\n"
                f"train_loss = {config.lookup}(*tensors(train), n_users, n_movies)\n"
                f"valid_loss = {config.lookup}(*tensors(valid), n_users, n_movies)"
            ),
            text("## Gradient descent by hand\n\nAll training ratings at once, so an epoch is one step."),
            code(f"""\
random = torch.Generator().manual_seed(seed)
U = torch.rand(n_users, embedding_size, generator=random, requires_grad=True)
V = torch.rand(n_movies, embedding_size, generator=random, requires_grad=True)

train_losses, valid_losses = [], []
for epoch in range(1, epochs + 1):
    loss = train_loss(U, V)
    loss.backward()  # fills U.grad and V.grad
    with torch.no_grad():  # the step itself must not be differentiated
        for w in (U, V):
            w -= learning_rate * w.grad
            w.grad.zero_()  # or the next gradient would be added to this one
        valid_error = valid_loss(U, V).item()
{loop}
predictions = (U[user[valid]] * V[movie[valid]]).sum(1).detach().numpy()
"""),
        ),
    )


_FULL_STEP = """\
    # squeeze: (n, 1) - (n,) would broadcast to (n, n), gigabytes of wrong answers without any error
    loss = mse(model(users, movies).squeeze(1), ratings)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
_BATCH_STEPS = """\
    summed = 0.0
    for rows in torch.randperm(len(ratings), generator=random).split(batch_size):
        # squeeze: (b, 1) - (b,) would broadcast to (b, b), wrong answers without any error
        loss = mse(model(users[rows], movies[rows]).squeeze(1), ratings[rows])
        summed += loss.item() * len(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def pytorch(config: RunConfig) -> Lesson:
    full = config.batch_size is None
    train, step = ("loss.item()", _FULL_STEP) if full else ("summed / len(ratings)", _BATCH_STEPS)
    order = "" if full else "random = torch.Generator().manual_seed(seed)\n"
    steps = "All training ratings at once, so an epoch is one step."
    if not full:
        steps = "The ratings come in a new order each epoch, in batches of which each makes one step."
    loop = PRINT.format(train=train, valid="valid_loss.item()")
    return Lesson(
        packages=("torch",),
        imports=("import torch", "from torch import Tensor, nn"),
        cells=(
            text(
                "## The lookup becomes nn.Embedding\n\n"
                "Users and movies become rows of numbers, and a small network learns how they go together."
            ),
            code(f"{cut('embedding_net', 'EmbeddingNet', without=('to_model',))}\n\n\n{TENSORS}"),
            text(f"## Adam takes the steps\n\n{steps}"),
            code(f"""\
{_one_thread(config)}users, movies, ratings = tensors(train)
valid_users, valid_movies, valid_ratings = tensors(valid)

torch.manual_seed(seed)
model = EmbeddingNet(n_users, n_movies, embedding_size, hidden_size)
optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
mse = nn.MSELoss()
{order}
train_losses, valid_losses = [], []
for epoch in range(1, epochs + 1):
    model.train()
{step}
    model.eval()
    with torch.no_grad():
        valid_predictions = model(valid_users, valid_movies).squeeze(1)  # (n, 1) -> (n,)
        valid_loss = mse(valid_predictions, valid_ratings)
{loop}
predictions = valid_predictions.numpy()
"""),
        ),
    )


def fastai_custom(config: RunConfig) -> Lesson:
    net = cut("embedding_net", "EmbeddingNet", without=("to_model",))
    learner = """\
n_users, n_movies = (len(dls.classes[name]) for name in ("user", "movie"))  # with fastai's #na#
model = CollabNet(n_users, n_movies, embedding_size, hidden_size)
learn = Learner(dls, model, loss_func=MSELossFlat())
"""
    model = (
        text("## The PyTorch model, unchanged\n\nfastai only wants user and movie as two columns of one tensor."),
        code(f"{net}\n\n\n{cut('fastai_custom', 'CollabNet')}"),
    )
    imports = (
        "from fastai.callback.schedule import Learner",  # the schedule module adds fit_one_cycle to Learner
        "from fastai.collab import TabularCollab",
        "from fastai.losses import MSELossFlat",
        "from torch import Tensor, nn",
    )
    return _fastai(config, learner, imports, model)


def fastai_nn(config: RunConfig) -> Lesson:
    sizes = ""
    if config.embedding_size is not None:
        sizes = 'emb_szs={"user": embedding_size, "movie": embedding_size}, '
    learner = f"learn = collab_learner(dls, use_nn=True, {sizes}layers=layers, y_range=y_range)\n"
    return _fastai(config, learner, (_COLLAB, "from torch import Tensor"))


def fastai_dot(config: RunConfig) -> Lesson:
    learner = "learn = collab_learner(dls, n_factors=embedding_size, y_range=y_range)\n"
    tensor = "from torch import Tensor"
    if config.bias == "none":
        learner += """\
for bias in (learn.model.u_bias, learn.model.i_bias):
    nn.init.zeros_(bias.weight)  # biases that are zero and stay zero say nothing
    bias.weight.requires_grad_(False)
"""
        tensor += ", nn"
    return _fastai(config, learner, (_COLLAB, tensor))


_COLLAB = "from fastai.collab import TabularCollab, collab_learner"
_ONE_THREAD = "torch.set_num_threads(1)  # batches of this size gain nothing from more\n"
LARGE_BATCH = 4096  # as in torch_parts, which imports torch
_LOADERS = """\
torch.manual_seed(seed)
rows = np.concatenate([train, valid])
collab = TabularCollab(
    pd.DataFrame({"user": user, "movie": movie, "rating": rating}).iloc[rows].reset_index(drop=True),
    procs=[Categorify],
    cat_names=["user", "movie"],
    y_names=["rating"],
    splits=[list(range(len(train))), list(range(len(train), len(rows)))],
    reduce_memory=False,
)
dls = collab.dataloaders(bs=batch_size, val_bs=8192, dl_type=RatingsLoader, drop_last=False, device=torch.device("cpu"))
"""
_LOSSES = '''\
class MeanLosses(Callback):
    """Keeps the mean loss of each epoch: the train loss that fastai prints is a moving average."""

    def before_epoch(self):
        self.seen = {True: [], False: []}  # training or not: the loss and the size of each batch

    def after_loss(self):
        self.seen[self.training].append((self.learn.loss.item(), len(self.learn.yb[0])))

    def after_epoch(self):
        for training, losses in ((True, train_losses), (False, valid_losses)):
            loss, size = zip(*self.seen[training], strict=True)
            losses.append(np.average(loss, weights=size))
        epoch = self.learn.epoch + 1
        print(f"epoch {epoch:>3}   train loss {train_losses[-1]:.6f}   valid loss {valid_losses[-1]:.6f}")
'''
_FIT = """\
train_losses, valid_losses = [], []
with learn.no_bar(), learn.no_logging():
    learn.fit_one_cycle(epochs, learning_rate, wd=weight_decay, cbs=MeanLosses())
    predictions, _ = learn.get_preds(dl=dls.valid)
predictions = predictions.flatten().numpy()
"""


def _one_thread(config: RunConfig) -> str:
    return _ONE_THREAD if config.batch_size is not None and config.batch_size < LARGE_BATCH else ""


def _fastai(config: RunConfig, learner: str, imports: tuple[str, ...], model: tuple[Cell, ...] = ()) -> Lesson:
    return Lesson(
        packages=("torch", "torchvision", "fastai"),  # torchvision comes with fastai, and must match torch
        imports=(
            "import math",
            "from collections.abc import Iterable, Iterator",
            "import torch",
            "from fastai.callback.core import Callback",
            "from fastai.tabular.core import Categorify, ReadTabBatch, TabDataLoader",
            *imports,
        ),
        cells=(
            text(
                "## The ratings as data loaders\n\n"
                "fastai's own loader for tables draws rows with replacement, so that one epoch misses more than a\n"
                "third of them, and drops the last batch. This one gives every training row exactly once."
            ),
            code(cut("fastai_parts", "TensorBatch", "RatingsLoader")),
            code(_one_thread(config) + _LOADERS),
            *model,
            text("## The Learner is the training loop"),
            code(learner),
            code(_LOSSES),
            code(_FIT),
        ),
    )


LESSONS: Mapping[str, Callable[[RunConfig], Lesson]] = {
    "scratch": scratch,
    "pytorch": pytorch,
    "fastai_custom": fastai_custom,
    "fastai_nn": fastai_nn,
    "fastai_dot": fastai_dot,
    "mf": mf,
    "als": als,
    "bayes": bayes,
}
