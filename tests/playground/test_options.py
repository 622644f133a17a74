"""Inputs, profile, draft, starter code, the question before tools that write, and copies."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from selenium.webdriver.common.keys import Keys

from tests.playground.browser import Browser, Page, wait_until
from tests.playground.site import Site
from tests.support.paths import ROOT

pytestmark = pytest.mark.deep


def open_options(page: Page) -> None:
    page.part("options").find_element("tag name", "summary").click()


def test_inputs_are_variables_of_any_size_and_wrong_ones_are_named(page: Page) -> None:
    open_options(page)
    page.part("inputs").send_keys('{"big": 1000000000000000000001}')
    page.run("big + 1")
    assert page.values == ["1000000000000000000002"]

    page.part("inputs").send_keys(Keys.CONTROL + "a" + Keys.NULL, "[1]")
    page.start("print('ran')")
    assert page.status == "Not run: the inputs are wrong"
    assert page.focused_id == "inputs"
    wrong = page.part("inputs-error").text
    assert wrong.startswith("The inputs cannot be used: they are JSON, and not an object.")
    assert page.values == ["1000000000000000000002"]  # nothing has run
    page.part("inputs").clear()
    page.run("1")
    assert page.part("inputs-error").text == ""


def test_a_profile_that_the_executor_lacks_is_named(page: Page) -> None:
    open_options(page)
    page.part("profile").send_keys("nosuch")
    page.run("1")
    [note] = page.texts(".errornote")
    assert "nosuch" in note


def test_code_runs_as_another_user(browser: Browser, site: Site) -> None:
    with browser.visit(site, "deputy") as page:
        open_options(page)
        page.part("as-user").send_keys("clerk")
        page.run("whoami()['user']")
        assert page.values == ["clerk"]
        facts = dict(
            zip(page.texts("#codemode-context dt"), page.texts("#codemode-context dd"), strict=True)
        )
        assert (facts["user"], facts["real_user"]) == ("clerk", "deputy")
        page.open()
        assert page.part("as-user").get_property("value") == ""  # nothing remembers it


class TestDraft:
    def test_it_survives_a_reload_and_is_forgotten_by_a_button(self, page: Page) -> None:
        starter = page.code
        page.write("mine = 1")
        open_options(page)
        page.part("inputs").send_keys('{"a": 1}')
        page.open()
        assert page.code == "mine = 1"
        assert page.part("inputs").get_property("value") == '{"a": 1}'
        assert page.part("inputs").is_displayed()
        assert page.focused_id == ""

        page.part("clear-draft").click()
        assert page.code == starter
        assert page.part("inputs").get_property("value") == ""
        page.open()
        assert page.code == starter

    def test_it_belongs_to_one_user(self, page: Page, site: Site) -> None:
        page.write("mine = 1")
        page.open()
        page.driver.add_cookie({"name": "sessionid", "value": site.sessions["clerk"]})
        page.open()
        assert page.code != "mine = 1"


def test_the_starter_code_runs_as_it_is(page: Page) -> None:
    assert "await find_customers()" in page.code or "list_orders()" in page.code
    page.part("run").click()
    assert page.wait_for_end().startswith("Completed in")


class TestConfirmation:
    def ask(self, page: Page, code: str) -> list[str]:
        page.start(code)
        wait_until(lambda: page.part("confirmation").get_property("open"))
        return page.texts("#codemode-confirmation-tools li")

    def test_tools_that_write_are_marked(self, page: Page) -> None:
        marked = page.texts("[data-writes]")
        assert len(marked) == 1
        assert "save" in marked[0]
        assert "writes" in marked[0]

    def test_code_that_names_one_runs_only_when_confirmed(self, page: Page) -> None:
        assert self.ask(page, "save('x')") == ["save writes"]
        assert page.focused_id == "decline"
        page.press(Keys.ENTER)
        wait_until(lambda: page.status == "Not run")
        assert page.texts(".codemode-call") == []

        self.ask(page, "f\"{tools['save'].run(text='x')}\"")
        page.press(Keys.ESCAPE)
        wait_until(lambda: page.status == "Not run")
        self.ask(page, "save('x')")
        page.part("confirm").click()
        page.wait_for_end()
        assert page.values == ["saved x"]
        self.ask(page, "save('x')")  # each time

    def test_the_draft_remembers_the_answer_for_these_tools(self, page: Page) -> None:
        self.ask(page, "save('x')")
        page.part("confirmation-remember").click()
        page.part("confirm").click()
        page.wait_for_end()
        assert page.run("save('y')").startswith("Completed")
        page.part("clear-draft").click()
        self.ask(page, "save('z')")

    def test_other_uses_of_the_word_do_not_ask(self, page: Page) -> None:
        assert page.run("# save\nx = {'a': 'to save'}\nx.saved = 1").startswith("AttributeError")


class TestCopies:
    CODE = "print(\"it's \\\\ here\")\n'''x'''\nname + '$HOME'"

    def test_as_python_is_a_program_that_runs_the_code(self, page: Page, site: Site) -> None:
        open_options(page)
        page.part("inputs").send_keys('{"name": "n"}')
        page.write(self.CODE)
        page.part("copy-python").click()
        wait_until(lambda: page.status == "Copied as Python")

        ran = subprocess.run(
            [sys.executable, "-m", "django", "shell", "-v", "0", "-c", page.clipboard()],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.playground.site_settings",
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "example_project")]),
                "PLAYGROUND_DATABASE": str(site.folder / "database"),
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        assert "it's \\ here" in ran.stdout
        assert "n$HOME" in ran.stdout

    def test_as_curl_is_a_command_that_has_no_secret(self, page: Page, site: Site) -> None:
        page.write(self.CODE.replace("name", "'n'"))
        page.part("copy-curl").click()
        wait_until(lambda: page.status == "Copied as curl")

        command = page.clipboard()
        cookies = {one["name"]: one["value"] for one in page.driver.get_cookies()}
        assert cookies["sessionid"] not in command
        assert cookies["csrftoken"] not in command
        secrets = {"SESSION": cookies["sessionid"], "CSRF": cookies["csrftoken"]}
        ran = subprocess.run(
            ["bash", "-c", command],
            env={"PATH": os.environ["PATH"], **secrets},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert '"status": "completed"' in ran.stdout, ran.stderr
        assert "n$HOME" in ran.stdout
