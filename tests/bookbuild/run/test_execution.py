import json
import os
import platform
import signal
import sys
import time
from pathlib import Path

import pytest
from conftest import ONE, Book, cell
from nbclient import NotebookClient

from bookbuild.run import execution
from bookbuild.run.cache import current_folder, executed_notebook, lock, prune
from bookbuild.run.execution import NotSetUpError, execute, jobs, outputs_folder
from bookbuild.source.chapters import BookError, read_pages


def outputs(book: Book, name: str = "one") -> str:
    """Everything that the cells of a page printed."""
    folder = current_folder(book.root, read_pages(book.root)[name])
    cells = executed_notebook(folder).cells
    return "".join(output.get("text", "") for one in cells for output in one.outputs)


def test_only_the_pages_that_import_a_module_run_again(executed: Book):
    executed.execute()
    assert (executed.ran("one"), executed.ran("two")) == (1, 1)
    assert outputs(executed) == "hello\n"
    executed.edit("code/tiny/words.py", "hello", "hallo")  # the same size, within the same second
    executed.execute()
    assert (executed.ran("one"), executed.ran("two")) == (2, 1)
    assert outputs(executed) == "hallo\n"


def test_other_alt_text_and_tags_keep_the_outputs(executed: Book):
    before = outputs(executed)
    executed.edit("book/one.md", "A black square", "A square")
    executed.edit("book/one.md", "hide-input", "remove-input")
    executed.execute()
    assert (executed.ran(), outputs(executed)) == (1, before)
    folder = current_folder(executed.root, read_pages(executed.root)["one"])
    stored = executed_notebook(folder)
    assert stored.cells[0].metadata.tags == ["remove-input"]
    assert stored.cells[1].metadata.mystnb.image.alt == "A square"
    assert [one.execution_count for one in stored.cells] == [1, 2, 3]
    assert stored.metadata.language_info.name == "python"


def test_a_run_is_recorded(book: Book):
    book.page("one", cell("import time\ntime.sleep(0.3)"))
    book.execute()
    folder = current_folder(book.root, read_pages(book.root)["one"])
    run = json.loads((folder / "run.json").read_text())
    assert 0.3 < run["seconds"] < 60
    assert run["date"].endswith("+00:00")
    assert run["versions"]["python"] == platform.python_version()
    assert run["inputs"]["versions"].keys() == {"numpy", "ipython", "matplotlib-inline"}
    assert run["machine"].keys() == {"processor", "cores", "gigabytes", "system"}  # no PyTorch
    if sys.platform == "linux":
        assert 20 < run["peak_megabytes"] < 1000
    log = (book.root / "_build/execution.log").read_text()
    assert log.index("executing one ...\n") < log.index("\none: ")
    stored = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not any(str(book.root).encode() in content for content in stored)


def test_cells_run_where_the_page_lies_with_the_code_and_the_python_of_the_build(
    book: Book, monkeypatch: pytest.MonkeyPatch
):
    # A user's own kernel named python3, and another package of the name, must not be taken.
    spec = {"argv": ["/bin/false"], "display_name": "x", "language": "python"}
    book.write("jupyter/kernels/python3/kernel.json", json.dumps(spec))
    book.write("elsewhere/tiny/__init__.py", "")
    monkeypatch.setenv("JUPYTER_PATH", str(book.root / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(book.root / "elsewhere"))
    book.page("part/two", cell("import os, sys, tiny\nprint(os.getcwd(), sys.executable, tiny)"))
    outputs_folder(book.root, read_pages(book.root)["part/two"])
    directory, python, _ = outputs(book, "part/two").split(" ", 2)
    assert Path(directory) == (book.root / "book/part").resolve()
    assert python == sys.executable
    assert str(book.root / "code/tiny") in outputs(book, "part/two")


def test_a_failing_cell_fails_every_time_and_is_said_once(
    book: Book, capsys: pytest.CaptureFixture[str]
):
    book.page("one", "Prose.\n\n", cell("x = 1"), cell("print('before')\n1 / 0"), cell("y = 1"))
    for _ in range(2):
        with pytest.raises(BookError, match="a cell failed on one"):
            book.execute()
        said = capsys.readouterr().out
        line = (book.root / "book/one.md").read_text().splitlines().index("print('before')") + 1
        assert f"book/one.md:{line}: code cell 2 failed\n" in said
        assert said.count("ZeroDivisionError: division by zero") == 1
        assert "\x1b" not in said
    assert [name.split("-")[0] for name in book.cached()] == ["part"]  # the other page is kept


def test_a_dead_kernel_and_a_strange_one_are_one_line(executed: Book):
    executed.page("one", cell("import os\nos._exit(1)"))
    with pytest.raises(BookError, match=r"^one: Kernel died$"):
        executed.execute()
    executed.edit("book/one.md", "name: python3", "name: strange")
    with pytest.raises(BookError, match=r"^one: No such kernel named strange$"):
        executed.execute()


def test_code_that_changes_while_it_runs_is_run_again(book: Book):
    # The first run edits what it has imported, so its outputs belong to no key.
    edit = "path = '../code/tiny/words.py'\ntext = open(path).read()\n"
    edit += "open(path, 'w').write(text.replace('hello', 'hallo')).bit_length()"
    book.page("one", cell(ONE), cell(edit))
    book.execute()
    assert (book.ran(), outputs(book)) == (2, "hallo\n")


def test_a_killed_run_leaves_nothing_and_the_next_one_completes(
    book: Book, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ONEBOUND_JOBS", "1")  # so that the other page has not begun
    wait = "import os, time\nwhile not os.path.exists('../go'):\n    time.sleep(0.05)"
    book.page("one", cell(ONE), cell(wait))
    book.kill(book.start("-m", "bookbuild", "execute"), when=lambda: book.ran() == 1)
    assert book.cached() == []
    book.write("go", "")
    book.execute()
    assert (book.ran("one"), book.ran("two")) == (2, 1)


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_kernel_that_dies_at_its_start_is_started_again(
    book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], deaths: int
):
    monkeypatch.setenv("ONEBOUND_JOBS", "1")
    connect, starts = NotebookClient.async_start_new_kernel_client, []

    async def connect_to_the_dead(client: NotebookClient) -> object:
        starts.append(client)
        if len(starts) <= deaths:
            await client.km.shutdown_kernel(now=True)
        return await connect(client)

    monkeypatch.setattr(NotebookClient, "async_start_new_kernel_client", connect_to_the_dead)
    if deaths < 3:
        book.execute()
        assert (len(starts), book.ran("one"), book.ran("two")) == (3, 1, 1)
    else:
        with pytest.raises(BookError, match="one: Kernel died"):
            book.execute()
    assert capsys.readouterr().out.count("so once more") == min(deaths, 2)


def test_a_kernel_that_does_not_answer_is_not_started_again(
    book: Book, monkeypatch: pytest.MonkeyPatch
):
    starts = []

    async def wait_in_vain(client: NotebookClient) -> object:
        starts.append(client)
        await client.km.shutdown_kernel(now=True)  # as what this stands for does
        raise RuntimeError("Kernel didn't respond in 0 seconds")

    monkeypatch.setattr(NotebookClient, "async_start_new_kernel_client", wait_in_vain)
    with pytest.raises(BookError, match="one: Kernel didn't respond"):
        book.execute()
    assert len(starts) == 2  # one for each page


def test_a_folder_appears_complete_or_not_at_all(book: Book, monkeypatch: pytest.MonkeyPatch):
    page = read_pages(book.root)["part/two"]
    folder = current_folder(book.root, page)

    def is_complete(partial: Path, target: Path) -> None:
        assert target == folder
        assert not folder.exists()
        assert {path.name for path in partial.iterdir()} >= {"global.db", "executed", "run.json"}
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", is_complete)
    with pytest.raises(KeyboardInterrupt):
        outputs_folder(book.root, page)
    assert not folder.exists()


def test_pruning_keeps_what_the_book_uses(executed: Book):
    now = executed.cached()
    assert len(now) == 2
    cache = executed.root / "_build/.jupyter_cache"
    (cache / f"{now[0][:-1]}x").mkdir()  # the same key, an older alt text
    (cache / ".tmp-of-a-killed-run/outputs").mkdir(parents=True)
    (cache / "global.db").touch()
    prune(executed.root)
    assert executed.cached() == now


def test_one_build_at_a_time(book: Book):
    with lock(book.root), pytest.raises(BookError, match="another build"):
        book.execute()
    assert book.ran() == 0
    with lock(book.root):
        pass  # free again


def test_user_start_up_files_are_not_read(book: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IPYTHONDIR", str(book.root / "ipython"))
    book.write("ipython/profile_default/startup/mine.py", "x = 'mine'")
    book.page("one", cell("print(globals().get('x', 'none'))"))
    outputs_folder(book.root, read_pages(book.root)["one"])
    assert outputs(book) == "none\n"


# A page that says that it is there, and goes on once another page has said so too.
MEET = """
import os, time
open("{up}{mine}", "w").write(str(os.getpid()))
deadline = time.monotonic() + {patience}
while not os.path.exists("{up}{theirs}"):
    assert time.monotonic() < deadline, "alone"
    time.sleep(0.02)
"""


def let_them_meet(book: Book, patience: float) -> None:
    book.page("one", cell(MEET.format(up="../", mine="a", theirs="b", patience=patience)))
    book.page("part/two", cell(MEET.format(up="../../", mine="b", theirs="a", patience=patience)))


def test_two_pages_run_at_a_time(book: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEBOUND_JOBS", "2")
    let_them_meet(book, patience=30)
    book.execute()
    assert len(book.cached()) == 2


def test_one_page_runs_at_a_time_if_so_told(book: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEBOUND_JOBS", "1")
    let_them_meet(book, patience=1)
    with pytest.raises(BookError, match=r"a cell failed on one$"):
        book.execute()


def test_the_longest_page_goes_first(executed: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEBOUND_JOBS", "1")
    for page, seconds in {"one": 1.0, "part/two": 9.0}.items():
        record = current_folder(executed.root, read_pages(executed.root)[page]) / "run.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"seconds": seconds}))
    executed.page("new", cell("1"))
    executed.edit("_toc.yml", "  - file: one", "  - file: one\n  - file: new")
    for page in ("one", "part/two"):
        executed.edit(f"book/{page}.md", "print", "str")
    (executed.root / "_build/execution.log").unlink()
    executed.execute()
    log = (executed.root / "_build/execution.log").read_text().splitlines()
    assert [line for line in log if line.startswith("executing")] == [
        f"executing {page} ..." for page in ("new", "part/two", "one")
    ]


THREADS = "import os\nprint(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])"


@pytest.mark.parametrize(("said", "threads"), [("1", "4 4\n"), ("2", "2 2\n"), ("8", "1 1\n")])
def test_pages_share_the_cores(
    book: Book, monkeypatch: pytest.MonkeyPatch, said: str, threads: str
):
    for name in execution.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(execution, "cores", lambda: 4)
    monkeypatch.setenv("ONEBOUND_JOBS", said)
    book.page("one", cell(THREADS))
    outputs_folder(book.root, read_pages(book.root)["one"])
    assert outputs(book) == threads
    folder = current_folder(book.root, read_pages(book.root)["one"])
    assert json.loads((folder / "run.json").read_text())["threads"] == threads[0]


def test_a_users_own_number_of_threads_holds(book: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution, "cores", lambda: 4)
    monkeypatch.setenv("ONEBOUND_JOBS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    book.page("one", cell(THREADS))
    outputs_folder(book.root, read_pages(book.root)["one"])
    assert outputs(book) == "3 3\n"


@pytest.mark.parametrize(
    ("cores", "gigabytes", "number"), [(1, 64, 1), (2, 24, 2), (2, 3, 1), (2, 1, 1), (8, 9, 4)]
)
def test_there_are_as_many_jobs_as_the_machine_has_room_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, gigabytes: int, number: int
):
    monkeypatch.delenv("ONEBOUND_JOBS", raising=False)
    monkeypatch.setattr(execution, "cores", lambda: cores)
    monkeypatch.setattr(execution, "_memory", lambda: gigabytes << 30)
    assert jobs() == number


@pytest.mark.parametrize("said", ["0", "two", "-1", "", "1.5"])
def test_a_strange_number_of_jobs_is_one_line(
    book: Book, monkeypatch: pytest.MonkeyPatch, said: str
):
    monkeypatch.setenv("ONEBOUND_JOBS", said)
    with pytest.raises(BookError, match=f"^ONEBOUND_JOBS is '{said}', but should be"):
        book.execute()


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_ends_every_kernel(book: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEBOUND_JOBS", "2")
    for page, up, name in (("one", "../", "a"), ("part/two", "../../", "b")):
        book.page(page, cell(MEET.format(up=up, mine=name, theirs="never", patience=60)))
    process = book.start("-m", "bookbuild", "execute")
    files = [book.root / name for name in "ab"]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert not any(is_running(int(file.read_text())) for file in files)
    assert book.cached() == []


# Each leaves a file of the outputs of page one damaged.
DAMAGE = {
    "cut short": ("executed/*/base.ipynb", lambda content: content[: len(content) // 2]),
    "one letter": ("executed/*/base.ipynb", lambda content: content.replace(b"hello", b"hullo")),
    "empty": ("executed/*/base.ipynb", lambda _: b""),
    "the record": ("run.json", lambda _: b"{}"),
    "no record": ("run.json", lambda content: content[:-9]),
    "the database": ("global.db", lambda content: b"x" * len(content)),
    "another database": ("global.db", lambda _: b""),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_outputs_are_named_and_thrown_away_and_the_page_executes(
    executed: Book, capsys: pytest.CaptureFixture[str], what: str
):
    pattern, damage = DAMAGE[what]
    folder = current_folder(executed.root, read_pages(executed.root)["one"])
    (file,) = folder.glob(pattern)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BookError, match=f"{folder.name} is damaged: run `make book`"):
        executed_notebook(folder)
    executed.execute()
    assert f"{folder.name} is damaged: thrown away\n" in capsys.readouterr().out
    assert (executed.ran("one"), executed.ran("two"), outputs(executed)) == (2, 1, "hello\n")


def test_damaged_outputs_are_not_taken_over(executed: Book):
    folder = current_folder(executed.root, read_pages(executed.root)["one"])
    (file,) = folder.glob("executed/*/base.ipynb")
    file.write_bytes(b"{}")
    executed.edit("book/one.md", "A black square", "A square")
    executed.execute()
    assert (executed.ran(), outputs(executed)) == (2, "hello\n")


def test_a_fresh_run_executes_every_page(executed: Book):
    execute(executed.root, fresh=True)
    assert (executed.ran("one"), executed.ran("two")) == (2, 2)
    executed.execute()
    assert (executed.ran("one"), executed.ran("two")) == (2, 2)


def test_a_page_that_needs_what_is_not_installed_says_so_and_none_executes(book: Book):
    book.edit("pyproject.toml", "numpy>=1", 'numpy>=1", "a-library-of-nobody>=2')
    with pytest.raises(NotSetUpError, match=r"one, part/two: .*not installed a-library-of-nobody$"):
        book.execute()
    assert (book.ran("one"), book.ran("two")) == (0, 0)
    status, _, err = book.run("-m", "bookbuild", "build")
    assert (status, err.count("\n")) == (3, 1)
