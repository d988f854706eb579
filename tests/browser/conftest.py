"""A real browser, a site made of notebooks that really ran, and a JupyterLab."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import sagemaker_local as embedded
from tools import tutorial

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Return a folder as after a clone, with an embedded AWS of its own."""
    home = tmp_path_factory.mktemp("browser-project")
    tutorial.copy_project(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(home / ".embedded"))
        patch.setenv("TRAINING_SETTINGS", str(home / "notebooks" / "settings.toml"))
        patch.delenv("MPLBACKEND")  # a kernel chooses its own, which shows pictures
        yield home
        embedded.stop()


@pytest.fixture(scope="session")
def site(project):
    """Run all notebooks in their order and write them as a site; give its folder."""
    notebooks = sorted((project / "notebooks").glob("*.ipynb"))
    for _ in tutorial.execute_all(notebooks, project / "executed", short=True):
        pass
    from tools import gallery  # here, because this file is loaded for every run of the tests

    return gallery.write(sorted((project / "executed").glob("*.ipynb")), project / "site").parent


@pytest.fixture
def browser():
    """Return Chromium without a window. Who runs these tests wants them run: without one they fail, and say why."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(programs.values()), f"Expected chromium and chromedriver on PATH, found {programs}."
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield driver
    driver.quit()


def set_width(browser, width):
    """Lay pages out for a width; a window cannot be made as narrow as a telephone."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )


@pytest.fixture
def at_width(browser):
    return lambda width: set_width(browser, width)


@pytest.fixture
def lab(site, project, tmp_path):
    """Start JupyterLab on the project and give its address, with the key in it."""
    path = project / "notebooks" / "04_train_on_sagemaker.ipynb"
    path.write_text(path.read_text().replace("max_steps = 4500", "max_steps = 750"))
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    for name, folder in (("JUPYTER_CONFIG_DIR", "config"), ("JUPYTER_DATA_DIR", "data")):
        environment[name] = str(tmp_path / folder)
    arguments = ["--no-browser", "--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={project}"]
    arguments.append("--LabApp.news_url=")
    log = (tmp_path / "lab.log").open("wb")
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *arguments], env=environment, stdout=log, stderr=log)
    try:
        yield wait_for_server(server, tmp_path / "runtime", tmp_path / "lab.log")
    finally:
        family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        server.terminate()
        psutil.wait_procs(family, timeout=20)


def wait_for_server(server, runtime, log, seconds=90):
    """Wait until the server has written where it is; there is no event for that."""
    end = time.monotonic() + seconds
    while True:
        for file in runtime.glob("jpserver-*.json"):
            try:
                state = json.loads(file.read_text())
            except ValueError:
                continue  # being written
            return f"{state['url']}lab/tree/notebooks/04_train_on_sagemaker.ipynb?token={state['token']}"
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
