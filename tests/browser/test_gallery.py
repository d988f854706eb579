"""The executed notebooks as a site, each page opened in a real browser at the width of a desk and of a telephone."""

import re

import pytest
from selenium.webdriver.common.by import By

from tools import gallery, tutorial

PAGES = ["index", *(path.stem for path in tutorial.list_notebooks()), *gallery.DOCS]
PICTURES = {
    "index": 8,
    "01_check_unity_build": 2,
    "04_train_on_sagemaker": 1,
    "05_plot_rewards": 2,
    "06_watch_the_agent": 1,
    "07_resume_after_interruption": 2,
    "08_repeat": 1,
    "09_tune": 1,
    "10_learn_from_demonstrations": 1,
}  # at least
ERRORS = re.compile(r"Traceback|Error:|Exception|can't be shown|Could not render|<Figure size")


@pytest.fixture(params=PAGES)
def page(request, site, browser):
    browser.get((site / f"{request.param}.html").as_uri())
    return request.param


def test_it_shows_what_it_should(page, browser):
    text = browser.find_element(By.TAG_NAME, "body").text
    assert len(text) > 300
    assert page in gallery.DOCS or not ERRORS.search(text)  # pages of docs quote some
    pictures = browser.find_elements(By.CSS_SELECTOR, "main img, ol.cards img")
    assert len(pictures) >= PICTURES.get(page, 0)
    for picture in pictures:
        assert browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth", picture) > 100
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out(page, browser, at_width, width):
    at_width(width)
    page = "document.documentElement"
    script = f"return [innerWidth, {page}.scrollWidth - {page}.clientWidth]"  # a scroll bar takes some of the width
    assert browser.execute_script(script) == [width, 0]


def test_no_table_squeezes_its_text(page, browser, at_width):
    at_width(400)
    script = "return [...document.querySelectorAll('td')].map(cell => [cell.offsetWidth, cell.innerText.trim()])"
    cells = browser.execute_script(script)
    assert [text for width, text in cells if width < 100 and len(text) > 50] == []
    script = (
        "return [...document.querySelectorAll('td code')].map(code => [code.getClientRects().length, code.innerText])"
    )
    assert [
        text for lines, text in browser.execute_script(script) if lines > 1 and not re.search(r"[\s/-]", text)
    ] == []


def test_its_links_lead_to_pages(page, browser, site):
    links = [link.get_attribute("href") for link in browser.find_elements(By.TAG_NAME, "a")]
    inside = {link.partition("#")[0] for link in links if link and link.startswith("file:")}
    assert inside - {browser.current_url}
    for link in inside:
        assert (site / link.rpartition("/")[2]).is_file(), link
