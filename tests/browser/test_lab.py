"""Notebook 4 in JupyterLab itself, run as a reader runs it: from the menu."""

import pytest
from selenium.common.exceptions import NoSuchElementException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as there
from selenium.webdriver.support.ui import WebDriverWait


def wait_for(browser, by, what, seconds=240):
    """Wait for something in the notebook; a cell that failed meanwhile, or nothing for so long, is told in its words."""
    failed = (By.XPATH, "//pre[contains(., 'Traceback')]")
    try:
        WebDriverWait(browser, seconds).until(
            there.any_of(there.presence_of_element_located((by, what)), there.presence_of_element_located(failed))
        )
        return browser.find_element(by, what)
    except (NoSuchElementException, TimeoutException):
        shown = browser.find_element(By.CSS_SELECTOR, ".jp-NotebookPanel").text
        pytest.fail(f"Expected {what} in the notebook, found none. It shows:\n{shown}")


def test_notebook_4_runs_and_shows_bar_and_curve(browser, at_width, lab):
    at_width(1280)
    wait = WebDriverWait(browser, 240)
    browser.get(lab)
    wait.until(there.presence_of_element_located((By.CSS_SELECTOR, ".jp-NotebookPanel .jp-Cell")))
    # The notebook's own indicator says idle before there is a kernel, too; cells run then would be passed over.
    wait.until(there.text_to_be_present_in_element((By.ID, "jp-main-statusbar"), "Python 3 (ipykernel) | Idle"))
    browser.find_element(By.XPATH, "//li[@role='menuitem'][contains(., 'Run')]").click()
    run_all = wait.until(there.element_to_be_clickable((By.CSS_SELECTOR, "li[data-command='runmenu:run-all']")))
    ActionChains(browser).move_to_element(run_all).click().perform()
    bar = wait_for(browser, By.CSS_SELECTOR, ".jp-OutputArea progress")
    assert bar.get_attribute("max")
    # The last cell but one shows the job's description: all before it has run.
    wait_for(browser, By.XPATH, "//pre[contains(., \"'BillableTimeInSeconds'\")]")
    bar = browser.find_element(By.CSS_SELECTOR, ".jp-OutputArea progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("750", "750")
    figures = browser.find_elements(By.CSS_SELECTOR, ".jp-OutputArea img")
    assert len(figures) == 1  # one that grew, not one for each update
    assert 900 < figures[0].get_property("naturalWidth") < 1000  # cropped by the kernel to what is drawn
    panel = browser.find_element(By.CSS_SELECTOR, ".jp-NotebookPanel").text
    for complaint in ("Traceback", "Error displaying widget", "Error rendering", "Loading widget"):
        assert complaint not in panel
