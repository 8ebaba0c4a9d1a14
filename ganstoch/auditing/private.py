"""A report that may leave the house: no picture, no file name, no pixel.

Names of images and classes become keyed hashes, and so do digests of pixels: whoever has a
candidate set could otherwise look whether it was used. The key is the environment's
`GANSTOCH_AUDIT_SALT`, or drawn anew and forgotten; with it the owner finds an image by its hash.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from ganstoch.auditing.comparison import Earlier
from ganstoch.auditing.inputs import Images, Role
from ganstoch.auditing.report import AuditReport, settings_sha256
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor

SALT = "GANSTOCH_AUDIT_SALT"
_SHA256 = 64  # digits
_OF_FILE = re.compile(r"\b(onnx|torchscript|python)_[^/]+_([0-9a-f]{8})_l2")
_LEAST = 16  # characters, lest names be guessed together with the key


class Pseudonyms:
    """Keyed hashes of 16 hexadecimal digits in the place of names."""

    def __init__(self) -> None:
        salt = os.environ.get(SALT) or secrets.token_hex(32)
        if len(salt) < _LEAST:
            raise UserError(f"{SALT} must have {_LEAST} characters or more")
        self._key = hashlib.blake2b(salt.encode(errors="surrogateescape"), digest_size=32).digest()

    def __call__(self, name: str) -> str:
        """The pseudonym of a name."""
        content = name.encode(errors="surrogateescape")
        return hashlib.blake2b(content, key=self._key, digest_size=8).hexdigest()

    def hide(self, sets: Mapping[Role, Images]) -> None:
        """Replaces all names that come from outside."""
        for role, images in sets.items():
            images.names = _hidden(images.names, self)
            if images.labels is not None:
                images.labels = tuple(map(self, images.labels))
            if images.groups is not None:
                images.groups = tuple(map(self, images.groups))
            images.where = f"{role.replace('_', '-')} images"
            if images.notes:
                count = len(images.notes)
                images.notes = (f"{count} note{'s' * (count > 1)} on reading them left out here.",)

    def hide_space(self, extractor: Extractor) -> Extractor:
        """The extractor, of a file or of Python by its digest alone."""
        if (name := _nameless(extractor.name)) == extractor.name:
            return extractor
        hidden = object.__new__(type(extractor))  # the user's own keeps its name
        hidden.__dict__ |= extractor.__dict__ | {"name": name}
        return hidden

    def hide_report(self, report: AuditReport) -> AuditReport:
        """A report with keyed digests, and without the command that made it."""
        sets = {
            role: facts.model_copy(update={"sha256": self(facts.sha256)})
            for role, facts in report.sets.items()
        }
        settings = dict(report.settings)
        if settings.get("group_by"):
            settings["group_by"] = self(settings["group_by"])
        update = {"sets": sets, "settings": settings, "settings_sha256": settings_sha256(settings)}
        return report.model_copy(update=update | {"command": None})

    def hide_earlier(self, earlier: Earlier) -> Earlier:
        """An earlier report with keyed digests, where they are not yet."""
        sets = {role: dict(facts) for role, facts in earlier.sets.items()}
        for facts in sets.values():
            if len(digest := str(facts.get("sha256", ""))) == _SHA256:
                facts["sha256"] = self(digest)
        settings = dict(earlier.settings)
        if len(digest := str(settings.get("group_by", ""))) == _SHA256:
            settings["group_by"] = self(digest)
        if isinstance(spaces := settings.get("features"), list):
            settings["features"] = [_nameless(str(space)) for space in spaces]
        metrics = {_nameless(key): value for key, value in earlier.metrics.items()}
        update = {"sets": sets, "settings": settings, "metrics": metrics}
        return earlier.model_copy(update=update)


def _nameless(key: str) -> str:
    """A space's name, or a key that holds one, without the name of a file or of Python."""
    return _OF_FILE.sub(r"\1_\2_l2", key)


def _hidden(
    names: Callable[[Tensor], Sequence[str]], pseudonym: Callable[[str], str]
) -> Callable[[Tensor], tuple[str, ...]]:
    return lambda ids: tuple(map(pseudonym, names(ids)))
