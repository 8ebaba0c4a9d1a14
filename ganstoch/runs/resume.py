"""Going on from a checkpoint that is named: what makes up the GAN's training may not change."""

import json
from pathlib import Path
from typing import Any

from ganstoch.data.subset import resolve_batch_size, resolve_sampling
from ganstoch.errors import UserError
from ganstoch.records import converted_config

_FIX = "give what it was made with, or leave out --ckpt_path"
# Names of a precision that mean another.
_SAME = {None: "32-true", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
_SHOWN = 6


def refuse_other_settings(
    path: Path, content: dict[str, Any], *, config: dict[str, Any], steps: int
) -> None:
    """Refuses a command whose game is another than the checkpoint's ``content``, or shorter."""
    if (done := content["global_step"]) > steps:
        raise UserError(
            f"trainer.max_steps is {steps:,}, and {path} has {done:,} iterations; raise it, or "
            "leave out --ckpt_path"
        )
    try:
        state = content["callbacks"]["RecordWriter"]
        if "config" not in state:  # ganstoch 0.5.0 kept them in the run's folder only
            state = json.loads((path.resolve().parent.parent / "run.json").read_bytes())
        earlier = _game(converted_config(state["config"]))
        # What both know and say differently: an older version lacks newer settings.
        changed = [_words(*each) for each in differences(earlier, _game(config), shared=True)]
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} has no settings that can be read ({error}); {_FIX}") from error
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise UserError(f"{path} was made with {', '.join(changed[:_SHOWN])}{more}; {_FIX}")


def goes_on(earlier: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether a run of other settings may go on from a checkpoint of the earlier ones."""
    return not differences(_game(earlier), _game(config), shared=True)


def differences(
    one: Any, other: Any, where: str = "", *, shared: bool = False
) -> list[tuple[str, Any, Any]]:
    """Dotted names of settings that differ, with both values; ``shared``: of keys in both only."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() & other.keys() if shared else one.keys() | other.keys()
        return [
            each
            for key in sorted(keys)
            for each in differences(
                one.get(key), other.get(key), f"{where}.{key}".lstrip("."), shared=shared
            )
        ]
    return [] if one == other else [(where, one, other)]


def _game(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide training and what was measured of it, in one way of saying them."""
    data, model = config["data"], config["model"]
    n = data["n"]
    m = resolve_batch_size(data["m"], n=n)
    sampling = resolve_sampling(data.get("sampling"), m=m, n=n)
    how = ("seed", "micro_batch", "forms", "compile")
    precision = config["trainer"].get("precision")
    # What the checkpoint brings of a measurement, such as the held-out images', is of its settings.
    measures = {key: config.get(key) for key in ("probe", "gradient_noise")}
    return {
        "seed_everything": config["seed_everything"],
        "data": _without(data, "root", "seed") | {"m": m, "sampling": sampling},
        "model": _without(model, *how) | {"remedies": model.get("remedies") or []},
        "evaluation": {key: config["evaluation"][key] for key in ("queries", "semantic")},
        "trainer": {"precision": _SAME.get(precision and str(precision), str(precision))},
        **{key: _without(value, "every") for key, value in measures.items() if value is not None},
    }


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in names}


def _words(name: str, before: Any, after: Any) -> str:
    plain = not any(isinstance(value, (dict, list)) for value in (before, after))
    return f"{name} {before}, not {after}" if plain else f"another {name}"
