"""What the columns of a log hold, by the names that GAN projects give them."""

import re
from collections.abc import Iterable, Mapping

from ganstoch.errors import UserError
from ganstoch.watch.steps import is_measure

_D = {"d", "dis", "disc", "discrim", "discriminator", "critic", "errd"}
_G = {"g", "gen", "generator", "errg"}
_LOSS = {"loss", "losses", "lossd", "lossg", "err", "error", "errd", "errg"}
_RECONSTRUCTION = {
    *("l1", "mel", "rec", "recon", "perceptual", "vgg", "cycle", "idt", "identity", "stft"),
    *("fm", "kl"),
}
_TERMS = {  # of a loss, or of other things than losses
    *("gp", "r1", "r2", "l2", "reg", "penalty", "grad", "gradient", "norm", "lr", "cls", "class"),
    *("aux", "pl", "feat", "feature", "num", "acc", "accuracy", "score", "scores", "logit"),
    *("logits", "sign", "signs", "val", "dur", "pitch", "info", "mi", *_RECONSTRUCTION),
}
# Of a loss that is not called one; CycleGAN's two games are A and B, of which the first is judged.
_PLAIN = {"l", "d", "g", "gan", "adv", "a", "b"}
ROLES = (
    *("loss_d", "loss_g", "loss_d_real", "loss_d_fake", "logit_real", "logit_fake"),
    *("accuracy_real", "accuracy_fake", "accuracy", "sign_real", "sign_fake", "d_real", "d_fake"),
    *("fid", "kid", "mode_drop", "is", "recall", "coverage"),
)
_ALIASES = {"d_loss": "loss_d", "g_loss": "loss_g", "inception_score": "is", "r_t": "sign_real"}
_SCORES = {
    "fid": {"fid", "frechet"},
    "kid": {"kid"},
    "is": {"is", "inception", "isc"},
    "recall": {"recall"},
    "coverage": {"coverage"},
}
OURS = "diagnosis/"  # how the signals of our own callback begin


def words_of(name: str) -> list[str]:
    """A name's words in lower case: of ``Loss/D/fid50k_full``: loss, d, fid, 50, k, full."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(r"(?:fid|kid|is|pr)(?=\d)|[a-z]+\d*|\d+", apart)


def role_of(name: str) -> str | None:
    """What a column holds, one of `ROLES`; None if its name does not tell."""
    if not is_measure(name) or name.startswith(OURS):
        return None
    words = set(words_of(name))
    of_d, of_g, loss = bool(words & _D), bool(words & _G), bool(words & _LOSS)
    side = next((side for side in ("real", "fake") if side in words), None)
    if "best" in words or "std" in words:
        return None
    if {"mode", "drop"} <= words and "baseline" not in words:
        return "mode_drop"
    if re.fullmatch(r"(?i)d\(x\)|dx", name):
        return "d_real"
    if re.fullmatch(r"(?i)d\(g\(z\)\)\d?|dgz\d?|d_?g_?z\d?", name):
        return "d_fake"
    if not loss and {"acc", "accuracy"} & words and (of_d or side):
        return f"accuracy_{side}" if side else "accuracy"
    if side and {"sign", "signs"} & words:
        return f"sign_{side}"
    if side and {"logit", "logits", "score", "scores"} & words:
        return f"logit_{side}"
    for role, names in _SCORES.items():
        if words & names and not (of_d or of_g) and not loss:
            return role
    if "rt" in words or ({"r", "t"} <= words and len(words) < 4):
        return "sign_real"
    if words & _TERMS or of_d == of_g:
        return None
    if of_d and side:  # pix2pix calls the two halves of its loss D_real and D_fake
        return f"loss_d_{side}"
    if loss or len(words) == 1 or words <= _PLAIN:
        return "loss_d" if of_d else "loss_g"
    return None


def columns_of(names: Iterable[str], stated: Mapping[str, str]) -> dict[str, str]:
    """The column of each role that a log has: those stated, else the plainest name of each."""
    names = list(names)
    found: dict[str, str] = {}
    for name in sorted(names, key=_rank):
        role = role_of(name)
        if role is not None:
            found.setdefault(role, name)
    return found | {role: name for role, name in stated.items() if name in names}


def _rank(name: str) -> tuple[bool, bool, int, str]:
    """Totals and means before parts, values of training before others, short names before long."""
    words = words_of(name)
    whole = bool({"total", "all", "mean"} & set(words))
    return not whole, "epoch" in words, len(words), name


def reconstructs(names: Iterable[str]) -> bool:
    """Whether a generator has other aims too, so that it may do well with a lost game."""
    return any(set(words_of(name)) & _RECONSTRUCTION for name in names)


def parse_map(pairs: Iterable[str]) -> dict[str, str]:
    """What ``--map ROLE=NAME`` states; ``step`` is a role too."""
    stated = {}
    for pair in pairs:
        role, _, name = pair.partition("=")
        role = _ALIASES.get(role, role)
        if role not in (*ROLES, "step") or not name:
            known = ", ".join(["step", *_ALIASES, *ROLES])
            raise UserError(f"--map takes ROLE=NAME, ROLE one of {known}; got {pair!r}")
        stated[role] = name
    return stated
