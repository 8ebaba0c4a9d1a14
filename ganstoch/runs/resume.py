"""Going on from a checkpoint that is named: what the command may change, and what it may not.

How long a run goes on, where its files lie and how it is measured, watched and logged may change.
What makes up the game may not: the checkpoint brings the optimisers with their rates, and a record
that names other settings than those it was trained with would be of no run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganstoch.data.subset import resolve_batch_size, resolve_sampling
from ganstoch.errors import UserError
from ganstoch.records import converted_config

__all__ = ["differences", "refuse_other_settings"]


_FIX = "give what it was made with, or leave out --ckpt_path"
_SAME = {None: "32-true", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
"""Names of a precision that mean another."""
_SHOWN = 6


def refuse_other_settings(
    path: Path, content: dict[str, Any], *, config: dict[str, Any], steps: int
) -> None:
    """Refuses a command whose game is another than the checkpoint's, or shorter.

    Args:
        path: the checkpoint.
        content: what it holds.
        config: the command's settings, nested, as plain values.
        steps: iterations at which the run is to end.
    """
    if (done := content["global_step"]) > steps:
        raise UserError(
            f"trainer.max_steps is {steps:,}, and {path} has {done:,} iterations; raise it, or "
            "leave out --ckpt_path"
        )
    try:
        earlier = _game(_settings_of(path, content))
        # What both know and say differently: an older version lacks newer settings.
        changed = [_words(*each) for each in differences(*_shared(earlier, _game(config)))]
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} has no settings that can be read ({error}); {_FIX}") from error
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise UserError(f"{path} was made with {', '.join(changed[:_SHOWN])}{more}; {_FIX}")


def _settings_of(path: Path, content: dict[str, Any]) -> Any:
    """Those of the checkpoint; ganstoch 0.5.0 kept them in the run's folder only."""
    state = content["callbacks"]["RecordWriter"]
    beside = path.resolve().parent.parent / "run.json"
    config = state["config"] if "config" in state else json.loads(beside.read_bytes())["config"]
    return converted_config(config)


def differences(one: Any, other: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted names of the settings that differ, each with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            found
            for key in sorted(set(one) | set(other))
            for found in differences(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if one == other else [(where, one, other)]


def _game(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that make up the game and what was measured of it, in one way of saying them."""
    data, model, measured = config["data"], config["model"], config["evaluation"]
    n = data["n"]
    m = resolve_batch_size(data["m"], n=n)
    sampling = resolve_sampling(data.get("sampling"), m=m, n=n)
    how = ("seed", "micro_batch", "forms", "compile")
    precision = config["trainer"].get("precision")
    # What the checkpoint brings of a measurement, such as the held-out images', is of its settings.
    asked = {key: config.get(key) for key in ("probe", "gradient_noise")}
    return {
        "seed_everything": config["seed_everything"],
        "data": _without(data, "root", "seed") | {"m": m, "sampling": sampling},
        "model": _without(model, *how) | {"remedies": model.get("remedies") or []},
        "evaluation": {key: measured[key] for key in ("queries", "semantic")},
        "trainer": {"precision": _SAME.get(precision and str(precision), str(precision))},
        **{key: _without(value, "every") for key, value in asked.items() if value is not None},
    }


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in names}


def _shared(one: Any, other: Any) -> tuple[Any, Any]:
    """Both without the keys that the other lacks."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    pairs = {key: _shared(one[key], other[key]) for key in one if key in other}
    return {k: a for k, (a, _) in pairs.items()}, {k: b for k, (_, b) in pairs.items()}


def _words(name: str, before: Any, after: Any) -> str:
    plain = not any(isinstance(value, (dict, list)) for value in (before, after))
    return f"{name} {before}, not {after}" if plain else f"another {name}"
