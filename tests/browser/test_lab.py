"""Notebook 4 in JupyterLab itself, run as a reader runs it: from the menu."""

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as there
from selenium.webdriver.support.ui import WebDriverWait


def test_notebook_4_runs_and_shows_bar_and_curve(browser, at_width, lab):
    at_width(1280)
    wait = WebDriverWait(browser, 240)
    browser.get(lab)
    wait.until(there.presence_of_element_located((By.CSS_SELECTOR, ".jp-NotebookPanel .jp-Cell")))
    wait.until(
        lambda _: "Idle" in browser.find_element(By.CSS_SELECTOR, ".jp-NotebookPanel").get_attribute("innerHTML")
    )
    browser.find_element(By.XPATH, "//li[@role='menuitem'][contains(., 'Run')]").click()
    run_all = wait.until(there.element_to_be_clickable((By.CSS_SELECTOR, "li[data-command='runmenu:run-all']")))
    ActionChains(browser).move_to_element(run_all).click().perform()
    bar = wait.until(there.presence_of_element_located((By.CSS_SELECTOR, ".jp-OutputArea progress")))
    assert bar.get_attribute("max")
    # The last cell but one shows the job's metrics: all has run.
    wait.until(there.presence_of_element_located((By.XPATH, "//pre[contains(., \"'mean_reward'\")]")))
    bar = browser.find_element(By.CSS_SELECTOR, ".jp-OutputArea progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("750", "750")
    figures = browser.find_elements(By.CSS_SELECTOR, ".jp-OutputArea img")
    assert len(figures) == 1  # one that grew, not one for each update
    assert 900 < figures[0].get_property("naturalWidth") < 1000  # cropped by the kernel to what is drawn
    panel = browser.find_element(By.CSS_SELECTOR, ".jp-NotebookPanel").text
    for complaint in ("Traceback", "Error displaying widget", "Error rendering", "Loading widget"):
        assert complaint not in panel
