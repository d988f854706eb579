"""Every notebook's real first cell: it takes what is set, and says where it works before anything happens there."""

import contextlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

from common import ROOT, aws_session
from helpers import account, aws, settings
from tools import tutorial
from training_jobs import TrainingError

NUMBERS = [path.stem[:2] for path in tutorial.list_notebooks() if not path.stem.startswith("01")]  # which needs no AWS
ROLE = "arn:aws:iam::123456789012:role/mlagents-training"


@pytest.fixture
def begin(connection, monkeypatch, capsys, tmp_path):
    """Give a function that runs a notebook's parameters and first cell, and returns its connection and first output.

    The embedded AWS stands in for the account of ``"aws"``.
    """
    monkeypatch.setenv("TRAINING_SETTINGS", str(tmp_path / "settings.toml"))
    for module in (aws, account, aws_session):
        monkeypatch.setattr(module, "open_session", lambda region="": aws.open_embedded(connection_server(), region))
    outputs = []
    make = aws.make_bucket

    def make_bucket(*arguments):
        outputs.append(capsys.readouterr().out)
        make(*arguments)

    monkeypatch.setattr(aws, "make_bucket", make_bucket)

    def run(number, **parameters):
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        names = {}
        exec(cells[0], names)
        names.update(parameters)
        with contextlib.suppress(TrainingError):  # notebooks 5 and 6 look for a job, and there is none
            exec(cells[1], names)
        outputs.append(capsys.readouterr().out)
        return names.get("connection"), outputs[0]

    def connection_server():
        import sagemaker_local

        return sagemaker_local.find(connection.home)

    return run


@pytest.mark.parametrize("number", NUMBERS)
def test_it_works_where_the_file_says_and_first_says_where(begin, number):
    settings.write("aws", ROLE, "set-by-the-file", "eu-west-1")
    connection, output = begin(number)
    assert output.startswith('Target "aws", as settings.toml says')
    if number != "02":  # which looks at the account first, in a table
        assert re.search("arn:aws:(iam|sts)::123456789012:", output)
        assert "ccount 123456789012, region eu-west-1" in output
        assert (connection.target, connection.region) == ("aws", "eu-west-1")
        assert (connection.bucket, connection.role) in {("set-by-the-file", ROLE), ("set-by-the-file", "")}


def test_a_parameter_comes_first_and_says_so(begin, monkeypatch):
    settings.write("aws", ROLE, "set-by-the-file", "eu-west-1")
    monkeypatch.setenv("TRAINING_REGION", "us-west-2")
    connection, output = begin("04", target="embedded")
    assert (
        output.splitlines()[0]
        == 'Target "embedded", as this notebook\'s parameters say (not "aws" as settings.toml says)'
    )
    assert output.splitlines()[1] == f"the embedded AWS at {connection.endpoint}, region us-west-2"
    assert (connection.bucket, connection.role) == ("mlagents-us-west-2-123456789012", ROLE)


def test_lesson_0_for_practice_leaves_the_settings_of_an_account(connection, monkeypatch, tmp_path):
    monkeypatch.setenv("TRAINING_SETTINGS", str(tmp_path / "settings.toml"))
    assert account.remember(connection, "jobs") == (
        f'settings.toml says now:\n{settings.HEADER}target = "embedded"\nrole = "jobs"\n'
        f'bucket = "{connection.bucket}"\nregion = "us-east-1"\n'
    )
    settings.write("aws", "jobs", "", "")
    assert account.remember(connection, "others") == 'settings.toml says "aws", and stays as it is.'
    assert settings.read().role == "jobs"


def test_a_kernel_from_elsewhere_works_in_the_folder_of_the_lessons(tmp_path):
    cell = nbformat.v4.new_code_cell("from helpers import build\nimport os\nprint(os.getcwd())")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    lessons = ROOT / "notebooks"
    assert (
        "".join(output.text for output in cell.outputs)
        == f"Working in {lessons}, where this notebook's paths begin.\n{lessons}\n"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").rglob("*.ipynb")), ids=lambda path: path.stem)
def test_it_goes_there_and_connects_in_its_first_cell(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert "from helpers import " in cells[1]
    if "aws" in cells[1].partition("from helpers import ")[2].partition("\n")[0]:
        assert (
            "\nconnection = aws.connect(target, role=role, bucket=bucket, region=region)\n" in "\n".join(cells) + "\n"
        )
