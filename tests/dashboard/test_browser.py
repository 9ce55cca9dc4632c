"""The study database in a real browser: every page is drawn, nothing goes wrong, and nothing leaves the machine."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import tree_study
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from served import Served

import hpo

CHOICES = {"{'max_depth': 2}": 2, "a <i>choice</i>": 3, "größer": 4}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A database with a comparison; one of its choices stands for an object, and one value is 0."""
    path = tmp_path_factory.mktemp("browser") / "study.db"
    definition = tree_study(
        space={
            "max_depth": hpo.Categorical(CHOICES),
            "min_impurity_decrease": hpo.Float(0.0, 0.2, grid=[0.0, 0.1, 0.2]),
        }
    )
    hpo.compare(
        definition, samplers=["random", "grid"], repetitions=3, trials=6, database=path, workers=1, progress="none"
    )
    return path


@pytest.fixture(scope="module")
def served(compared):
    dashboard = Served(compared, "--port", "0")
    yield dashboard
    dashboard.end()


def opened(browser, served, path: str):
    """Open a page, and forget what the browser has noted so far."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(served.address + path)
    return WebDriverWait(browser, 120)


def text(browser) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def check_nothing_went_wrong(browser, served):
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []


def number_of(served, name: str) -> int:
    studies = json.loads(served.ask("/api/studies")[1])["study_summaries"]
    return next(study["study_id"] for study in studies if study["study_name"] == name)


RUN = "iris-tree/random/split0-seed0"


def test_the_list_leads_to_the_comparisons(browser, served):
    wait = opened(browser, served, "/")
    wait.until(lambda b: RUN in text(b))
    link = browser.find_element(By.CSS_SELECTOR, "#hpo a")
    assert link.is_displayed()
    # Nothing lies above it: who clicks there meets the link.
    assert browser.execute_script(
        "const r = arguments[0].getBoundingClientRect();"
        "return document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) === arguments[0]",
        link,
    )
    check_nothing_went_wrong(browser, served)
    link.click()
    wait.until(lambda b: b.current_url.endswith("/comparison/"))
    assert "Comparisons of samplers" in text(browser)
    browser.find_element(By.LINK_TEXT, "iris-tree").click()
    wait.until(lambda b: "Samplers on iris-tree" in text(b))


def test_what_would_change_the_database_is_not_there(browser, served):
    wait = opened(browser, served, "/")
    wait.until(lambda b: RUN in text(b))
    for label in ("rename study", "delete study"):
        found = browser.find_elements(By.CSS_SELECTOR, f'[aria-label="{label}"]')
        assert found
        assert not any(button.is_displayed() for button in found)
    buttons = {button.text: button for button in browser.find_elements(By.TAG_NAME, "button") if button.is_displayed()}
    assert "RELOAD" in {name.upper() for name in buttons}
    assert "CREATE" not in {name.upper() for name in buttons}


def test_a_run_has_its_plots_and_its_trials(browser, served):
    number = number_of(served, RUN)
    wait = opened(browser, served, f"/dashboard/studies/{number}")
    wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 4)
    check_nothing_went_wrong(browser, served)
    wait = opened(browser, served, f"/dashboard/studies/{number}/trials?numbers=0")
    wait.until(lambda b: "fit_seconds" in text(b))
    shown = text(browser)
    assert "Trial 0" in shown
    assert "train_score" in shown
    assert any(label in shown for label in CHOICES)  # labels, as they are written
    assert not browser.find_elements(By.TAG_NAME, "i")
    check_nothing_went_wrong(browser, served)
    wait = opened(browser, served, f"/dashboard/studies/{number}/smartSelection")  # attributes as axes and columns
    wait.until(lambda b: "fit_seconds" in text(b))
    check_nothing_went_wrong(browser, served)


def test_the_note_of_a_run_leads_to_its_comparison(browser, served):
    wait = opened(browser, served, f"/dashboard/studies/{number_of(served, RUN)}/note")
    link = wait.until(lambda b: b.find_elements(By.PARTIAL_LINK_TEXT, "Compare samplers on iris-tree"))[0]
    assert link.get_attribute("href") == f"{served.address}/comparison/iris-tree"
    assert "model parameters, learned in training" in text(browser)
    check_nothing_went_wrong(browser, served)


@pytest.mark.parametrize("width", [1280, 400])
def test_a_comparison_is_drawn_and_leads_to_every_run(browser, served, width):
    browser.set_window_size(width, 900)
    wait = opened(browser, served, "/comparison/iris-tree")
    places = browser.find_elements(By.CSS_SELECTOR, ".plot")
    assert len(places) >= 5
    wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".plot .main-svg")) >= len(places))
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    links = [link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "a[href^='/dashboard/']")]
    for name in ("iris-tree/random/split2-seed2", "iris-tree/grid/split0-seed0"):
        assert f"{served.address}/dashboard/studies/{number_of(served, name)}" in links
    side = next(link for link in links if "compare-studies?ids=" in link)
    check_nothing_went_wrong(browser, served)
    wait = opened(browser, served, side.removeprefix(served.address))
    wait.until(lambda b: "iris-tree/random/split0-seed0" in text(b))
    check_nothing_went_wrong(browser, served)
    browser.set_window_size(1280, 900)


@pytest.mark.slow
def test_a_page_follows_a_comparison_that_goes_on(browser, compared, served):
    wait = opened(browser, served, "/comparison/iris-tree")
    assert "3 repetitions of 6 trials" in text(browser)
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "import hpo, test_browser\n"
        "from conftest import tree_study\n"
        "space = {'max_depth': hpo.Categorical(dict(test_browser.CHOICES)),\n"
        "    'min_impurity_decrease': hpo.Float(0.0, 0.2, grid=[0.0, 0.1, 0.2])}\n"
        "hpo.compare(tree_study(space=space), samplers=['random', 'grid'], repetitions=5, trials=6,\n"
        "    database=sys.argv[1], workers=1, progress='none')\n"
    )
    going = subprocess.Popen([sys.executable, "-c", code, str(compared)])
    try:
        wait.until(lambda b: "5 repetitions of 6 trials" in text(b))  # nobody has reloaded it
    finally:
        assert going.wait(timeout=300) == 0
    plots = browser.find_elements(By.CSS_SELECTOR, ".plot .main-svg")
    assert len(plots) >= 5
    check_nothing_went_wrong(browser, served)


def test_it_says_so_when_the_dashboard_has_ended(browser, compared):
    own = Served(compared, "--port", "0")
    wait = opened(browser, own, "/comparison/")
    assert not browser.find_element(By.ID, "live").is_displayed()
    time.sleep(0.1)
    own.end()
    wait.until(lambda b: b.find_element(By.ID, "live").is_displayed())
