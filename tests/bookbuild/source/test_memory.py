import gzip
import json
from pathlib import Path

from bookbuild.source.memory import (
    ENDING,
    FOLDER,
    Memory,
    digest,
    lacking,
    read,
    save_shared,
    shared,
    ship,
)


def answers(root: Path, *basis: str) -> tuple[Memory, list[str]]:
    memory, asked = Memory(root, "test", *basis), []
    memory.recall("a", answer=lambda: asked.append("a") or [1, None])
    return memory, asked


def test_what_was_found_is_not_found_again(tmp_path: Path):
    memory, asked = answers(tmp_path, "code")
    memory.save(forget=True)
    assert asked == ["a"]
    again, asked = answers(tmp_path, "code")
    assert asked == []
    assert again.recall("a", answer=lambda: "never asked") == [1, None]


def test_another_basis_forgets(tmp_path: Path):
    answers(tmp_path, "code")[0].save(forget=True)
    assert answers(tmp_path, "other code")[1] == ["a"]


def test_a_damaged_file_costs_time_and_nothing_else(tmp_path: Path):
    answers(tmp_path, "code")[0].save(forget=True)
    file = tmp_path / FOLDER / f"test{ENDING}"
    (basis, _), content = read(file), file.read_bytes()
    flipped = content[:30] + bytes([content[30] ^ 1]) + content[31:]
    other = [gzip.compress(json.dumps(one).encode()) for one in ([basis, 1], 1)]
    for damaged in (content[:-5], flipped, b"1", *other, gzip.compress(b"\xff")):
        file.write_bytes(damaged)
        assert answers(tmp_path, "code")[1] == ["a"]


def test_what_nobody_asks_for_is_forgotten_if_so_wished(tmp_path: Path):
    answers(tmp_path, "code")[0].save(forget=True)
    for forget in (False, True):
        memory = Memory(tmp_path, "test", "code")
        memory.save(forget=forget)
        assert bool(Memory(tmp_path, "test", "code")._known) is not forget


def test_a_fresh_clone_takes_the_answers_that_are_shipped(tmp_path: Path):
    shipped, clone = tmp_path / "shipped.json.gz", tmp_path / "clone"
    answers(tmp_path, "code")[0].save(forget=True)
    assert lacking(tmp_path, "test", shipped) == 1
    ship(tmp_path, "test", shipped)
    assert lacking(tmp_path, "test", shipped) == 0
    memory = Memory(clone, "test", "code", shipped=shipped)
    assert memory.recall("a", answer=lambda: "never asked") == [1, None]
    memory.save(forget=True)
    assert not clone.exists(), "what is shipped is kept once"
    memory.recall("b", answer=lambda: 2)
    memory.save(forget=True)
    assert lacking(clone, "test", shipped) == 1
    assert Memory(clone, "test", "other", shipped=shipped)._known == {}


def test_answers_of_another_basis_are_never_shipped(tmp_path: Path):
    shipped = tmp_path / "shipped.json.gz"
    answers(tmp_path / "author", "new code")[0].save(forget=True)
    ship(tmp_path / "author", "test", shipped)
    answers(tmp_path, "old code")[0].save(forget=True)  # before the author's came
    memory = Memory(tmp_path, "test", "new code", shipped=shipped)
    memory.recall("a", answer=lambda: "never asked")
    memory.save(forget=False)
    assert lacking(tmp_path, "test", shipped) == 0


def test_what_is_found_out_afresh_tells_on_what_is_shipped(tmp_path: Path):
    shipped = tmp_path / "shipped.json.gz"
    answers(tmp_path, "code")[0].save(forget=True)
    ship(tmp_path, "test", shipped)
    memory = Memory(tmp_path, "test", "code", shipped=shipped, fresh=True)
    assert memory.recall("a", answer=lambda: "other") == "other"
    memory.save(forget=True)
    assert lacking(tmp_path, "test", shipped) == 1


def test_what_is_shipped_is_the_same_bytes_in_any_order(tmp_path: Path):
    for order in ("ab", "ba"):
        memory = Memory(tmp_path / order, "test", "code")
        for question in order:
            memory.recall(question, answer=lambda: 1)
        memory.save(forget=True)
        ship(tmp_path / order, "test", tmp_path / f"{order}.json.gz")
    assert (tmp_path / "ab.json.gz").read_bytes() == (tmp_path / "ba.json.gz").read_bytes()


def test_parts_are_told_apart():
    assert digest("ab", "c") != digest("a", "bc")


def test_a_process_has_one_memory_of_a_name_and_saves_those_of_one_root(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        shared(root, "test", "code").recall("a", answer=lambda: 1)
        assert shared(root, "test", "code").recall("a", answer=lambda: 2) == 1
    save_shared(one, forget=True)
    assert Memory(one, "test", "code").recall("a", answer=lambda: 3) == 1
    assert not (other / FOLDER).exists()
