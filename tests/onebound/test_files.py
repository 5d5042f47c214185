import threading

from onebound.files import write_whole


def test_of_several_writers_one_wins_and_readers_see_whole_files(tmp_path):
    path, errors, done = tmp_path / "file", [], threading.Event()
    contents = [bytes([65 + i]) * 200_000 for i in range(4)]
    write_whole(path, contents[0])

    def write(content):
        try:
            for _ in range(50):
                write_whole(path, content)
        except OSError as error:
            errors.append(error)

    def read():
        while not done.is_set():
            if path.read_bytes() not in contents:
                errors.append("torn")

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=[content]) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not errors
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
