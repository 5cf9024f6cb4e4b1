import signal
from pathlib import Path

from edge_pipeline.core.files import remove_temporaries, write_atomically


def test_temporaries_at_any_depth_are_removed_and_counted(tmp_path: Path) -> None:
    for name in ("a/.x.json.abc.tmp", "a/b/.y.pt.def.tmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    assert remove_temporaries(tmp_path) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_other_files_are_kept(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", b"{}")
    for name in (".gitkeep", "user.tmp", ".hidden"):
        (tmp_path / name).write_bytes(b"mine")
    assert remove_temporaries(tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitkeep", ".hidden", "a.json", "user.tmp"]


def test_a_folder_that_does_not_exist_has_none(tmp_path: Path) -> None:
    assert remove_temporaries(tmp_path / "never made") == 0


def test_what_a_killed_writer_left_is_found(tmp_path: Path, start_python) -> None:
    (tmp_path / "data").mkdir()
    code = """
import os, signal
from pathlib import Path
from edge_pipeline.core.files import write_atomically
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path("data/a.json"), b"whole")
"""
    process = start_python(code)
    process.wait(30)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "data" / "a.json").exists()
    assert remove_temporaries(tmp_path / "data") == 1
