"""Archives and tables of images, each written by a program that is not ours; and hostile ones."""

import contextlib
import gzip
import io
import json
import os
import stat
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import webdataset
from PIL import Image

from ganstoch.auditing.inputs import open_images as open_role
from ganstoch.data import Folder, ImageSet
from ganstoch.data import gzip_stream as gzip_module
from ganstoch.data.images import open_images
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError

COUNT = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3), dtype=np.uint8)
NAMES = [f"{'cat' if i < 15 else 'dog'}/{i:03}.png" for i in range(COUNT)]
LABELS = [0] * 15 + [1] * 25
ORDER = np.random.default_rng(1).permutation(COUNT).tolist()


def png(pixels: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


ENCODED = [png(pixels) for pixels in PIXELS]


def opened(place: Any, **stated: Any) -> ImageSet:
    return open_images(place, option="--real", reading=Reading(**stated))


def read(images: ImageSet) -> Any:
    return images.read(torch.arange(len(images))).numpy()


def refused(place: Any, **stated: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(opened(place, **stated))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def add(archive: tarfile.TarFile, name: str, content: bytes, **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def folder(root: Path) -> Path:
    for name, content in zip(NAMES, ENCODED, strict=True):
        (root / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "folder" / name).write_bytes(content)
    return root / "folder"


def zipped(root: Path) -> Path:
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in ORDER:
            archive.writestr(f"photos/{NAMES[i]}", ENCODED[i])
    return root / "a.zip"


def tarred(root: Path, mode: str = "w", name: str = "a.tar") -> Path:
    with tarfile.open(root / name, mode) as archive:  # type: ignore[call-overload]
        for i in ORDER:
            add(archive, f"./{NAMES[i]}", ENCODED[i])
    return root / name


def of_hugging_face(root: Path) -> Path:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"image": [Image.fromarray(p) for p in PIXELS], "label": LABELS}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(root / "hf.parquet")
    return root / "hf.parquet"


def of_arrow(root: Path) -> Path:
    rows = {"picture": pa.array(ENCODED, pa.binary()), "label": ["cd"[i] for i in LABELS]}
    pq.write_table(pa.table(rows), root / "plain.parquet", row_group_size=7)
    return root / "plain.parquet"


def of_webdataset(root: Path) -> str:
    for shard in range(2):
        with webdataset.TarWriter(str(root / f"part-{shard:03}.tar")) as sink:
            for i in range(shard * 20, shard * 20 + 20):
                sink.write({"__key__": f"{i:04}", "png": ENCODED[i], "cls": LABELS[i]})
    return f"{root}/part-{{000..001}}.tar"


def of_edm(root: Path) -> Path:
    names = [f"00000/img{i:08}.png" for i in range(COUNT)]
    with zipfile.ZipFile(root / "edm.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, content in zip(names, ENCODED, strict=True):
            archive.writestr(name, content)
        labels = [list(pair) for pair in zip(names, LABELS, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return root / "edm.zip"


WRITERS: dict[str, Callable[[Path], Any]] = {
    "folder": folder,
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda root: tarred(root, "w:gz", "a.tar.gz"),
    "tgz": lambda root: tarred(root, "w:gz", "a.tgz"),
    "hugging face": of_hugging_face,
    "arrow": of_arrow,
    "webdataset": of_webdataset,
    "edm": of_edm,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_images_from_everywhere(writer: str, tmp_path: Path) -> None:
    place = WRITERS[writer](tmp_path)
    images = opened(place)
    assert images.shape == (3, 12, 10)
    assert np.array_equal(read(images), PIXELS.transpose(0, 3, 1, 2))
    assert images.notes == ()
    assert images.labels is not None
    assert images.labels.tolist() == LABELS
    assert len(images.classes) == 2
    ids = torch.tensor([39, 2, 2, 17])
    assert np.array_equal(opened(place).read(ids), PIXELS.transpose(0, 3, 1, 2)[ids])
    sha256 = open_role(PIXELS, role="real").content.sha256
    assert open_role(place, role="real").content.sha256 == sha256
    with pytest.raises(UserError, match="--resize"):
        opened(place, resize=0)
    assert opened(place, resize=6, mode="L").read(ids).shape == (4, 1, 6, 6)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_trains_reads_the_same(writer: str, tmp_path: Path) -> None:
    place = WRITERS[writer](tmp_path)
    images, again = Folder().open(Path(place), "train"), opened(place, resize=32)
    assert images is not None
    assert np.array_equal(read(images), read(again))
    assert images.labels is not None
    assert images.labels.tolist() == LABELS
    assert Folder().open(Path(place), "held_out") is None


def test_splits_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, name in enumerate(NAMES):
            split = "train" if i % 2 else "test"
            archive.writestr(f"set/{split}/{name}", ENCODED[i])
    for split, first in (("train", 1), ("held_out", 0)):
        images = Folder().open(tmp_path / "a.zip", split)  # type: ignore[arg-type]
        assert images is not None
        assert images.labels is not None
        assert (images.classes, images.labels.tolist()) == (("cat", "dog"), LABELS[first::2])


def test_a_gzip_is_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip_module, "_MARK", 2**16)
    monkeypatch.setattr(gzip_module, "_KEPT", 2**10)
    rng = np.random.default_rng(2)
    noise, zeros = rng.integers(0, 256, 10**6, dtype=np.uint8).tobytes(), bytes(10**6)
    content = noise + zeros + noise[::-1]
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(content[:1_200_000]) + gzip.compress(content[1_200_000:]))
    stream = gzip_module.GzipStream(path)
    for start in rng.integers(0, len(content), 60).tolist():
        size = int(rng.integers(1, 50_000))
        stream.seek(start)
        assert stream.read(size) == content[start : start + size]
    assert len(stream._marks) > 20
    for part in (content, content[:1]):
        stream.seek(0)
        assert stream.read(len(part)) == part


def test_a_tar_is_read_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganstoch.data.image_files._CACHED_BYTES", 0)
    images, wrong = opened(tarred(tmp_path, "w:gz", "a.tar.gz")), []
    assert ".zip" in images.notes[0]  # its members are out of order, and it is told that this costs

    def look() -> None:
        if not np.array_equal(read(images), PIXELS.transpose(0, 3, 1, 2)):
            wrong.append(1)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_no_archive_is_held_in_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganstoch.data.image_files._CACHED_BYTES", 0)
    monkeypatch.setattr(gzip_module, "_KEPT", 2**18)
    monkeypatch.setattr("ganstoch.data.tables._ROWS", 8)
    pixels = np.random.default_rng(0).integers(0, 256, (500, 128, 128, 3), dtype=np.uint8)
    encoded = [png(each) for each in pixels]  # 25 MB
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"image": encoded}), path, data_page_size=2**18, write_batch_size=8)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for i, content in enumerate(encoded):
                packed.writestr(f"{i:03}.png", content)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for i, content in enumerate(encoded):
                add(archive, f"{i:03}.png", content)
    del encoded
    tracemalloc.start()
    images, arrow = opened(path), 0
    for ids in torch.split(torch.arange(500), 20):  # 1 MB each
        assert np.array_equal(images.read(ids), pixels[ids].transpose(0, 3, 1, 2))
        arrow = max(arrow, pa.total_allocated_bytes())
    held = tracemalloc.get_traced_memory()[1] + arrow
    tracemalloc.stop()
    assert os.path.getsize(path) > 2 * held


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_labels_that_are_missing_or_null(tmp_path: Path) -> None:
    for labels in (None, [["a/1.png", 1]]):  # of one image only
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in ("a/1.png", "b/2.png"):
                archive.writestr(name, ENCODED[0])
            archive.writestr("dataset.json", json.dumps({"labels": labels}))
        assert (
            opened(tmp_path / "a.zip").labels is None
        )  # folders of such an archive are no classes
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("dataset.json", "{")
    assert "dataset.json" in refused(tmp_path / "a.zip")


def with_labels(root: Path, kind: str, labels: Any) -> Path:
    """Two images and a ``dataset.json``."""
    content = json.dumps({"labels": labels}).encode()
    members = {"1.png": ENCODED[0], "2.png": ENCODED[1], "dataset.json": content}
    path = root / "a" if kind == "folder" else root / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif kind == "tar":
        with tarfile.open(path, "w") as tar:
            for name, content in members.items():
                add(tar, name, content)
    else:
        path.mkdir(exist_ok=True)
        for name, content in members.items():
            (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_list_of_labels_counts_or_is_told(kind: str, tmp_path: Path) -> None:
    for labels in (None, [["1.png", 3], ["2.png", "x"]]):
        images = opened(with_labels(tmp_path, kind, labels))
        assert images.notes == ()
        assert (images.labels is None) == (labels is None)
    for label in (True, 0.5, [0, 1], None):
        images = opened(with_labels(tmp_path, kind, [["1.png", 3], ["2.png", label]]))
        assert images.labels is None
        assert "1 of the 2 " in "".join(images.notes)
    images = opened(with_labels(tmp_path, kind, [["1.png", 3]]))
    assert (images.labels, len(images.notes)) == (None, 1)
    wrong: list[Any] = [
        ["ab"],
        [["1.png", 1, 2]],
        [[1, 2]],
        {"1.png": 3},
        "",
        0,
        [{"a": 1, "b": 2}],
    ]
    for labels in wrong:
        assert "dataset.json" in refused(with_labels(tmp_path, kind, labels))


def test_labels_of_tables_count_or_are_told(tmp_path: Path) -> None:
    columns: list[Any] = [None, [0.5] * COUNT, [None, *LABELS[1:]], [True] * COUNT]
    pq.write_table(pa.table({"image": ENCODED, "label": LABELS}), tmp_path / "0.parquet")
    for column in columns:
        table = pa.table({"image": ENCODED} | ({} if column is None else {"label": column}))
        pq.write_table(table, tmp_path / "1.parquet")
        images = opened(tmp_path / "{0,1}.parquet")
        assert (len(images), images.labels) == (2 * COUNT, None)
        assert f" of the {2 * COUNT} " in "".join(images.notes)
        assert bool(opened(tmp_path / "1.parquet").notes) == (column is not None)
    named = opened(f"{tmp_path}/{{0..1}}.parquet:image")
    assert np.array_equal(read(named), read(opened(tmp_path / "{0,1}.parquet")))
    assert "parquet" in refused(f"{{{tmp_path}/0.parquet:a,{tmp_path}/0.parquet:b}}")


def test_json_members_of_a_webdataset(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as sink:
        for i in range(4):
            about = {"label": "xy"[i % 2], "caption": "words"}
            sink.write({"__key__": f"{i}", "png": ENCODED[i], "json": about, "txt": "words"})
    images = opened(tmp_path / "a.tar")
    assert images.labels is not None
    assert (images.classes, images.labels.tolist()) == (("x", "y"), [0, 1, 0, 1])
    assert ".txt 4" in images.notes[0]


def test_columns_are_named_where_there_are_several(tmp_path: Path) -> None:
    table = pa.table({"a": ENCODED, "b": ENCODED[::-1], "n": list(range(COUNT))})
    path = tmp_path / "two.parquet"
    pq.write_table(table, path)
    said = refused(path)
    assert "a, b" in said
    assert np.array_equal(read(opened(f"{path}:b")), PIXELS[::-1].transpose(0, 3, 1, 2))
    assert "n" in refused(f"{path}:c")
    assert "row" in refused(f"{path}:n") or "read" in refused(f"{path}:n")
    rows = [None, {"bytes": None, "path": "/etc/passwd"}, *({"bytes": e} for e in ENCODED)]
    pq.write_table(pa.table({"image": rows}), path)
    assert f" 2 of the {COUNT + 2} " in refused(path)
    assert len(opened(path, skip_unreadable=True)) == COUNT
    path.write_bytes(b"PAR1")
    assert str(path) in refused(path)


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = datasets.Dataset.from_parquet(str(of_hugging_face(tmp_path)), cache_dir=str(tmp_path))
    asked: list[Any] = []

    def load_dataset(name: str, *, split: str, **options: Any) -> Any:
        asked.append((name, split, options))
        if split == "none":
            raise ValueError("Unknown split\nmore")
        return rows

    builder = type("Builder", (), {"info": type("Info", (), {"splits": {"train": 1}})})
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda name: builder)
    for place in ("hf:me/photos:train", "hf:me/photos", "hf:me/photos:train:image"):
        images = opened(place)
        assert np.array_equal(read(images), PIXELS.transpose(0, 3, 1, 2))
        assert images.classes == ("cat", "dog")
    assert asked == [("me/photos", "train", {})] * 3  # and no code of the hub's
    assert "Unknown split" in refused("hf:me/photos:none")
    assert "image" in refused("hf:me/photos:train:label2")
    builder.info.splits = {"train": 1, "test": 1}  # type: ignore[attr-defined]
    assert "train, test" in refused("hf:me/photos")
    secret = tmp_path / "secret.png"
    secret.write_bytes(ENCODED[0])
    foreign = [{"bytes": None, "path": str(secret)}] * 3
    features = datasets.Features({"image": datasets.Image()})
    rows = datasets.Dataset.from_dict({"image": foreign}, features=features)
    assert "outside" in refused("hf:me/photos:train")
    for wrong in ("hf:", "hf:photos", "hf:../photos", "hf:a/b:c:d:e"):
        assert "--real" in refused(wrong)


@pytest.mark.parametrize("pattern", ["{0..2}", "{2..0}", "{0,7}", "{0..9999999}"])
def test_shards_that_are_not_there(pattern: str, tmp_path: Path) -> None:
    for i in range(2):
        tarred(tmp_path, name=f"part-{i}.tar")
    assert "part-" in refused(tmp_path / f"part-{pattern}.tar")
    assert len(opened(tmp_path / "part-{0,1}.tar")) == 2 * COUNT


# Hostile archives: what is written, and what the note or, if that is None, the refusal must say.
def evil_zip(root: Path, write: Callable[[zipfile.ZipFile], None]) -> Path:
    path = zipped(root)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return path


def evil_tar(root: Path, write: Callable[[tarfile.TarFile], None]) -> Path:
    path = tarred(root)
    with tarfile.open(path, "a") as archive:
        write(archive)
    return path


def link(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


ONE = ENCODED[0]
SKIPPED: dict[str, tuple[Callable[[Path], Path], str]] = {
    **{
        f"zip member {name}": (
            partial(evil_zip, write=methodcaller("writestr", name, ONE)),
            "unsafe names 1",
        )
        for name in ("../up.png", "/tmp/up.png", "x\\..\\..\\up.png", "C:/up.png")
    },
    "zip link": (
        lambda root: evil_zip(root, lambda a: a.writestr(link("l.png", stat.S_IFLNK), "/etc/x")),
        "links 1",
    ),
    "zip nested": (
        lambda root: evil_zip(root, lambda a: a.writestr("b.zip", zipped(root).read_bytes())),
        ".zip 1",
    ),
    "zip of a Mac": (
        lambda root: evil_zip(root, lambda a: a.writestr("__MACOSX/cat/._000.png", b"x")),
        "__MACOSX",
    ),
    "tar upwards": (lambda root: evil_tar(root, lambda a: add(a, "a/../../up.png", ONE)), "unsafe"),
    "tar absolute": (lambda root: evil_tar(root, lambda a: add(a, "/up.png", ONE)), "unsafe"),
    "tar link": (
        lambda root: evil_tar(
            root, lambda a: add(a, "l.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        ),
        "links 1",
    ),
    "tar hard link": (
        lambda root: evil_tar(
            root, lambda a: add(a, "l.png", b"", type=tarfile.LNKTYPE, linkname="cat/000.png")
        ),
        "links 1",
    ),
    "tar device": (
        lambda root: evil_tar(
            root, lambda a: add(a, "d.png", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        ),
        "devices",
    ),
    "tar pipe": (
        lambda root: evil_tar(root, lambda a: add(a, "p.png", b"", type=tarfile.FIFOTYPE)),
        "devices",
    ),
    "tar repeated": (
        lambda root: evil_tar(root, lambda a: add(a, f"./{NAMES[3]}", ENCODED[3])),
        "repeated names 1",
    ),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_members_that_are_passed_over(case: str, tmp_path: Path) -> None:
    write, word = SKIPPED[case]
    images = opened(write(tmp_path))
    assert np.array_equal(read(images), PIXELS.transpose(0, 3, 1, 2))
    assert word in images.notes[0]
    assert not (tmp_path.parent / "up.png").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_a_name_that_repeats_in_a_zip_the_last_counts(tmp_path: Path) -> None:
    path = evil_zip(tmp_path, lambda a: a.writestr(f"photos/{NAMES[3]}", ENCODED[4]))
    images = opened(path)
    assert np.array_equal(read(images)[3], PIXELS[4].transpose(2, 0, 1))
    assert "repeated names 1" in images.notes[0]


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("photos/cat/bomb.bmp", png(np.zeros((3000, 3000, 3), np.uint8), "BMP"))


def encrypted(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    return path


def damaged(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[5]
    content[info.header_offset + 100 : info.header_offset + 104] = b"\0\0\0\0"
    path.write_bytes(content)
    return path


UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bomb": (lambda root: evil_zip(root, bomb), "too large"),
    "encrypted": (lambda root: encrypted(zipped(root)), "encrypted"),
    "damaged": (lambda root: damaged(zipped(root)), ".png"),
    "no image": (lambda root: evil_tar(root, lambda a: add(a, "cat/x.png", b"text")), "no image"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_members_that_cannot_be_read(case: str, tmp_path: Path) -> None:
    write, word = UNREADABLE[case]
    path = write(tmp_path)
    said = refused(path)
    assert " 1 of the " in said
    assert "--skip-unreadable" in said
    assert word in said
    images = opened(path, skip_unreadable=True)
    assert len(read(images)) in (COUNT, COUNT - 1)
    assert " 1 " in images.notes[-1]


def whole_bomb(path: Path) -> None:
    """Zeros by the gigabyte, in megabytes."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        header = tarfile.TarInfo("a.png")
        header.size = 2**27
        file.write(header.tobuf())
        for _ in range(2**5):
            file.write(bytes(2**22))


def archives(root: Path) -> Iterator[Path]:
    tar, packed = tarred(root).read_bytes(), tarred(root, "w:gz", "a.tar.gz").read_bytes()
    zips = zipped(root).read_bytes()
    for name, content in {
        "empty.zip": b"",
        "empty.tar": b"",
        "text.zip": b"not found",
        "text.tar": b"not found" * 100,
        "text.tgz": b"not found",
        "half.zip": zips[: len(zips) // 2],
        "half.tar": tar[:30_000],
        "half.tgz": packed[: len(packed) // 2],
        "header.tar": tar[:2048] + b"\xff" * 512 + tar[2560:],
        "flipped.tgz": packed[:9000] + bytes([packed[9000] ^ 255]) + packed[9001:],
    }.items():
        (root / name).write_bytes(content)
        yield root / name
    huge = tarfile.TarInfo("././@PaxHeader")
    huge.type, huge.size = tarfile.XHDTYPE, 2**33
    (root / "header bomb.tar").write_bytes(huge.tobuf() + bytes(10_000))
    yield root / "header bomb.tar"


def test_damaged_archives_are_refused_by_name(tmp_path: Path) -> None:
    for path in archives(tmp_path):
        assert str(path) in refused(path)
        assert str(path) in refused(path, skip_unreadable=True)


@pytest.mark.parametrize("writer", ["edm", "webdataset", "tgz", "arrow", "hugging face"])
def test_random_damage_is_a_refusal_or_none(writer: str, tmp_path: Path) -> None:
    place = WRITERS[writer](tmp_path)
    path = tmp_path / "part-001.tar" if writer == "webdataset" else Path(place)
    whole, rng = path.read_bytes(), np.random.default_rng(4)
    for _ in range(25):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 3).tolist():
            content[at] = int(rng.integers(256))
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            read(opened(place, skip_unreadable=bool(rng.integers(2))))


def test_a_gzip_that_unpacks_to_more_than_a_disk_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzip_module, "_SUSPECT", 2**24)
    whole_bomb(tmp_path / "a.tgz")
    assert os.path.getsize(tmp_path / "a.tgz") < 2**22
    assert "too large" in refused(tmp_path / "a.tgz")


@pytest.mark.parametrize("places", ["{a,b}/part.tar", "part.{a,b}.tar"])
def test_shards_whose_names_begin_alike_are_all_read(places: str, tmp_path: Path) -> None:
    for name in ("a/part.tar", "b/part.tar", "part.a.tar", "part.b.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tarred(tmp_path, name=name)
    images = opened(f"{tmp_path}/{places}")
    assert len(images) == len(set(images.names(torch.arange(len(images))))) == 2 * COUNT
    assert "repeated" not in "".join(images.notes)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("folder", ["", "photos/"])
def test_a_list_of_labels_lies_beside_its_images(kind: str, folder: str, tmp_path: Path) -> None:
    """In an archive that was made of a folder too, as in the folder itself."""
    listed = json.dumps({"labels": [[f"x/{i:03}.png", LABELS[i]] for i in range(COUNT)]}).encode()
    members = {f"{folder}x/{i:03}.png": ENCODED[i] for i in range(COUNT)}
    members[f"{folder}dataset.json"] = listed
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as archive_:
            for name, content in members.items():
                add(archive_, name, content)
    images = opened(path)
    assert images.labels is not None
    assert images.labels.tolist() == LABELS
    assert images.notes == ()


def test_headers_that_announce_headers(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 4
    (tmp_path / "a.tar").write_bytes((header.tobuf() + b"abc".ljust(512, b"\0")) * 3000)
    assert "a.tar" in refused(tmp_path / "a.tar")


@pytest.mark.parametrize(
    "place",
    ["~nobody-of-this-name/a", "x{0..99999999999999999999}.tar", "x" + "{a,b}" * 40 + ".tar"],
)
def test_places_that_nothing_can_be(place: str) -> None:
    assert place[:2] in refused(place)


@pytest.mark.parametrize("names", [[["a"], ["b"]], [{}, {}], 5, {"0": "a"}, [None, None]])
def test_classes_that_are_none(names: Any, tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    pictures = [{"bytes": content, "path": None} for content in ENCODED]
    table = pa.table({"image": pictures, "label": LABELS})
    about = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), tmp_path / "a.parquet")
    images = opened(tmp_path / "a.parquet")
    assert (len(images), images.classes) == (COUNT, ())


def test_several_frames_are_told(tmp_path: Path) -> None:
    frames = [Image.fromarray(pixels) for pixels in PIXELS]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.tiff")
    images = opened(tmp_path)
    assert "1 files" in "".join(images.notes)
    assert np.array_equal(read(images)[0], PIXELS[0].transpose(2, 0, 1))
