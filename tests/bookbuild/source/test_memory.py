import json
from pathlib import Path

from bookbuild.source.memory import FOLDER, Memory, digest, save_shared, shared


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
    file = tmp_path / FOLDER / "test.json"
    basis = json.loads(file.read_bytes())[0]
    other = json.dumps([basis, 1]).encode()
    for content in (file.read_bytes()[:-5], b"1", b"\xff", other):
        file.write_bytes(content)
        assert answers(tmp_path, "code")[1] == ["a"]


def test_what_nobody_asks_for_is_forgotten_if_so_wished(tmp_path: Path):
    answers(tmp_path, "code")[0].save(forget=True)
    for forget in (False, True):
        memory = Memory(tmp_path, "test", "code")
        memory.save(forget=forget)
        assert bool(Memory(tmp_path, "test", "code")._known) is not forget


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
