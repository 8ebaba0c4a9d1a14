"""Classes of images: by folders, by StyleGAN's ``dataset.json``, or by a WebDataset's members."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganstoch.errors import UserError

Label = int | str
Labels = Mapping[str, Label | None]  # by an image's name; None where its label is neither
MEMBERS = (".cls", ".json")  # endings of a WebDataset's members that may name a class
MOST_BYTES = 2**28  # of a dataset.json
MOST_MEMBER_BYTES = 2**16


def by_folder(
    names: Sequence[str], *, like: Sequence[str]
) -> tuple[tuple[str, ...], Tensor | None]:
    """Classes, the first-level folders of files ``like``, and labels, if all images have one."""
    parts = [name.split("/", 1) for name in like]
    classes = {part[0] for part in parts}
    if len(classes) < 2 or any(len(part) == 1 for part in parts):
        return (), None
    return numbered([name.split("/", 1)[0] for name in names], like=sorted(classes))


def numbered(
    labels: Sequence[Label | None], *, like: Sequence[Label | None] | None = None
) -> tuple[tuple[str, ...], Tensor | None]:
    """Classes, the values ``like`` in their order, and labels, if all images have one of them."""
    values = set(labels if like is None else like)
    if None in values or not values:
        return (), None
    order = sorted(values, key=lambda value: (isinstance(value, str), value))
    number = {value: i for i, value in enumerate(order)}
    found = [number.get(label) for label in labels]
    if None in found:
        return (), None
    return tuple(str(value) for value in order), torch.tensor(found, dtype=torch.int64)


def of_dataset_json(content: bytes, *, where: str) -> Labels:
    """Labels of StyleGAN's and EDM's file, by name; empty where it has none."""
    fix = 'it must hold {"labels": [[name, number], ...]} or null; mend or remove it'
    try:
        entries = json.loads(content)["labels"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"cannot read dataset.json of {where}; {fix}") from error
    entries = [] if entries is None else entries
    if not isinstance(entries, list) or not all(map(_is_pair, entries)):
        raise UserError(f"dataset.json of {where} holds no pairs; {fix}")
    return {name: label_or_none(label) for name, label in entries}


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)


def label_or_none(value: Any) -> Label | None:
    """A value that is a label: a whole number or a text."""
    return value if type(value) in (int, str) else None


def ignored(labels: Labels | None, names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """A note where labels are given, but not for all images, so that none counts."""
    missing = sum(labels.get(name) is None for name in names) if labels else 0
    if not missing:
        return ()
    count = f"{missing:,} of the {len(names):,} images of {where}"
    return (f"Labels of {where} were ignored: {count} have none that is a whole number or text.",)


def of_members(members: Labels, names: Sequence[str]) -> Labels | None:
    """Labels of a WebDataset, by name, from those of its members; None unless all have one."""
    labels: dict[str, Label | None] = {}
    for name in names:
        found = [members[key_of(name) + e] for e in MEMBERS if key_of(name) + e in members]
        if not found:
            return None
        labels[name] = found[0]
    return labels if names else None


def key_of(name: str) -> str:
    """What a WebDataset's members of one example share: the name up to its first dot."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def of_member(content: bytes) -> Label | None:
    """The label that a member's text is, or that its JSON has as "label" or "cls"."""
    text = content.decode("utf-8", "replace").strip()
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    return label_or_none(value) if value != "" else None
