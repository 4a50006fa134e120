"""Choosing, downloading and uploading ratings in the browser, with and without a network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server


def csv_of_ratings(header: str, n_users: int = 30, n_items: int = 25) -> bytes:
    random = np.random.default_rng(0)
    lines = [header]
    for user in range(n_users):
        for item in random.choice(n_items, size=12, replace=False):
            lines.append(f"person{user},film{item},{random.integers(1, 11) / 2}")
    return "\n".join(lines).encode()


def latest_small_zip(path: Path) -> None:
    """A small made-up data set in the layout of MovieLens latest-small, with the checksum file beside it."""
    random = np.random.default_rng(1)
    movies = ["movieId,title,genres"] + [f'{i},"Made Up, The {i} (19{50 + i})",Comedy|Drama' for i in range(1, 31)]
    ratings = ["userId,movieId,rating,timestamp"]
    for user in range(1, 41):
        ratings += [
            f"{user},{item},{random.integers(1, 11) / 2},{10**9 + item}"
            for item in random.choice(np.arange(1, 31), size=15, replace=False)
        ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-latest-small/movies.csv", "\n".join(movies))
        archive.writestr("ml-latest-small/ratings.csv", "\n".join(ratings))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.md5").write_text(f"{digest}  {path.name}\n")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A web server that offers a good latest-small and a wrong ml-100k."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    latest_small_zip(folder / "ml-latest-small.zip")
    (folder / "ml-100k.zip").write_bytes(b"not the file that was promised")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def open_data(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/data")
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()


def upload(page: Page, name: str, content: bytes) -> None:
    page.get_by_text("Your own ratings").click()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        [{"name": name, "mimeType": "text/csv", "buffer": content}]
    )


def test_the_sample_is_shown_and_labelled(server: Server, page: Page) -> None:
    open_data(page, server)
    expect(page.get_by_text(re.compile(r"Sample \(simulated\) · [\d,]+ ratings"))).to_be_visible()
    page.get_by_label("Search titles and genres").fill("godfather")
    expect(page.get_by_text("3 movies;").or_(page.get_by_text("2 movies;"))).to_be_visible()


def test_an_upload_becomes_the_data_set_and_trains(server: Server, page: Page) -> None:
    open_data(page, server)
    upload(page, "my ratings.csv", csv_of_ratings("userId,movieId,rating"))
    expect(page.get_by_text(re.compile(r"my ratings.* · 360 ratings"))).to_be_visible()
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"my ratings.* · 360 ratings"))).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Done · 50 of 50 epochs"))).to_be_visible()


def test_columns_that_are_not_recognised_are_asked_for(server: Server, page: Page) -> None:
    open_data(page, server)
    upload(page, "odd.csv", csv_of_ratings("alpha,beta,gamma"))
    expect(page.get_by_text(re.compile("which column", re.IGNORECASE)).first).to_be_visible()


def test_a_bad_file_is_one_sentence_and_changes_nothing(server: Server, page: Page) -> None:
    open_data(page, server)
    upload(page, "broken.csv", b"userId,movieId,rating\n1,2,good\n" * 40)
    expect(page.get_by_text(re.compile("good")).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"Sample \(simulated\) · [\d,]+ ratings"))).to_be_visible()


def test_without_a_network_it_says_so_and_stays_on_the_sample(new_server: Callable[..., Server], page: Page) -> None:
    server = new_server(CFCORE_OFFLINE="", CFCORE_DATA_URL="http://127.0.0.1:9/")
    page.goto(server.url)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Sample \(simulated\) · [\d,]+ ratings"))).to_be_visible()
    expect(page.get_by_text("could not be fetched, so this is the simulated sample")).to_be_visible()


def test_a_wrong_file_is_refused_and_a_good_one_is_used(
    new_server: Callable[..., Server], page: Page, mirror: str
) -> None:
    server = new_server(CFCORE_OFFLINE="", CFCORE_DATA_URL=mirror)
    open_data(page, server)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert not list((server.folder / "data").glob("ml-100k*"))
    page.locator(".st-key-get-ml-latest-small button").click()
    use = page.locator(".st-key-use-ml-latest-small button")
    expect(use).to_be_visible()
