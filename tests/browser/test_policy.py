"""The content security policy of deploy/: with it every page works, and the browser complains of nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import ConsoleMessage, Page, Route, expect

from tests.browser.conftest import Server
from tests.browser.test_training import open_train, press_train
from tests.test_deploy import policies

REPORT = """document.addEventListener('securitypolicyviolation', (event) => console.error(
    `refused by the policy: ${event.effectiveDirective} ${event.blockedURI} in ${event.sourceFile}`))"""
PAGES = (
    "",
    "learn",
    "learn?lesson=step",
    "data",
    "train?run={run}",
    "compare?runs={run}",
    "explore?run={run}",
    "recommend?run={run}",
)


@pytest.fixture
def guarded(server: Server, new_person: Callable[..., Page]) -> tuple[Page, list[str]]:
    """A page whose documents come with the policy, and what the browser says that it has refused."""
    (policy, _), said = policies(), []

    def add(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": policy})

    page = new_person(permissions=["local-network-access"])  # an answer given here counts as one from elsewhere
    page.context.route(lambda url: "/static/" not in url and "_stcore" not in url, add)
    page.add_init_script(REPORT)

    def listen(message: ConsoleMessage) -> None:
        if "refused by the policy" in message.text or "BidiComponent Error" in message.text:
            said.append(message.text)

    page.on("console", listen)
    return page, said


def test_every_page_works_under_the_policy(server: Server, guarded: tuple[Page, list[str]]) -> None:
    """Without ``blob:`` the custom components, without the hash Streamlit's own inline script, would be refused."""
    page, said = guarded
    open_train(page, server, "approach=als&epochs=2")
    run = press_train(page)
    expect(page.get_by_text(re.compile("^Done ·"))).to_be_visible()
    for path in PAGES:
        page.goto(f"{server.url}/{path.format(run=run)}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_role("heading", name="Recommend", exact=True)).to_be_visible()
    assert said == []


def test_the_policy_is_in_force(server: Server, guarded: tuple[Page, list[str]]) -> None:
    """Or the test above would pass with any policy."""
    page, said = guarded
    page.goto(server.url)
    expect(page.locator("h1")).to_be_visible()
    with page.expect_console_message(lambda message: "script-src-elem inline" in message.text):
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))")
    assert len(said) == 1
