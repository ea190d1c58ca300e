"""Results as files: JSON, a Markdown table, contact sheets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pokejax.files import whole_file
from pokejax.images.sheets import contact_sheet

_GENERATION = (
    ("KID x 1000", "kid", 1000, "lower"),
    ("FID", "fid", 1, "lower"),
    ("precision", "precision", 1, "higher"),
    ("recall", "recall", 1, "higher"),
    ("density", "density", 1, "higher"),
    ("coverage", "coverage", 1, "higher"),
)
_RECONSTRUCTION = (
    ("L1, in [-1, 1]", "l1"),
    ("PSNR, dB", "psnr_db"),
    ("SSIM", "ssim"),
    ("LPIPS", "lpips"),
    ("KID", "kid"),
    ("FID over real", "fid_over_floor"),
    ("colour over real pictures'", "color_over_real"),
)

_FACES = (
    ("a judge tells them from real ones (chance 50 %)", "told_from_real", "lower"),
    ("a judge takes fronts for fronts", "seen_as_front", "as real"),
    ("their prompt is the nearest of 20 (chance 5 %)", "retrieved", "higher"),
)


def write(
    out: Path, results: Mapping[str, Any], sheets: Mapping[str, Image.Image]
) -> list[Path]:
    """Write `out`, a `.md` and a PNG for each sheet beside it; returns the paths.

    Args:
      out: the JSON file's path; the others are named after it.
      results: plain values.
      sheets: by the word that goes into their files' names.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        out: json.dumps(results, indent=2) + "\n",
        out.with_suffix(".md"): markdown(results),
    }
    for path, text in texts.items():
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    paths = list(texts)
    for name, sheet in sheets.items():
        path = out.with_name(f"{out.stem}_{name}.png")
        with whole_file(path) as partial:
            sheet.save(partial)
        paths.append(path)
    return paths


def markdown(results: Mapping[str, Any]) -> str:
    """The results as one table, under a line that says what was measured."""
    model, data, protocol = (results[key] for key in ("model", "data", "protocol"))
    lines = [
        f"# {model['id']}, epoch {model['epoch']}",
        "",
        f"{data['heldout']} {data['split']} pictures of species never trained on,"
        f" {data['train']} training pictures. Features `{protocol['features']}`,"
        f" reference `{data['reference_hash'][:12]}`, seed {protocol['seed']}."
        " Brackets hold 95 % intervals.",
        "",
        "| measure | model | real pictures | better |",
        "|---|---|---|---|",
        *_generation_rows(results["generation"]),
        *_kind_rows(results["generation"].get("kid_by_kind", {})),
    ]
    for part, rows in (
        ("vgg", lambda part: _generation_rows(part, "VGG16: ")),
        ("inception", lambda part: _generation_rows(part, "Inception: ")),
        ("reconstruction", _reconstruction_rows),
        ("faces", _faces_rows),
        ("adherence", _adherence_rows),
        ("color_prompts", _color_prompt_rows),
        ("swap", _swap_rows),
        ("diversity", _diversity_rows),
        ("copying", _copying_rows),
        ("latent", _latent_rows),
    ):
        if part in results:
            lines += rows(results[part])
    lines += ["", *(f"Left out: {reason}." for reason in results["left_out"])]
    seconds = results["seconds"]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return "\n".join([*lines, f"Seconds: {parts}.", ""])


def captioned(rows: Mapping[str, UInt8[np.ndarray, "n h w 3"]]) -> Image.Image:
    """A contact sheet of rows of pictures, each under its name."""
    return contact_sheet([list(images) for images in rows.values()], list(rows))


def _row(name: str, value: str, real: str = "", better: str = "") -> str:
    return f"| {name} | {value} | {real} | {better} |"


def _generation_rows(part: Mapping[str, Any], space: str = "") -> list[str]:
    rows: list[str] = []
    for name, key, scale, better in _GENERATION:
        drawn, floor = part["drawn"], part["real_floor"]
        value = f"{scale * drawn[key]:.3f}"
        if f"{key}_interval_95" in drawn:
            low, high = (scale * x for x in drawn[f"{key}_interval_95"])
            value += f" [{low:.3f}, {high:.3f}]"
        rows.append(_row(space + name, value, f"{scale * floor[key]:.3f}", better))
    rows.append(
        _row(f"{space}FID over real", f"{part['fid_over_floor']:.2f}", "1", "lower")
    )
    return rows


def _kind_rows(kinds: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        _row(
            f"KID x 1000 of {kid['num']} of style and view {kind}",
            f"{1000 * kid['kid']:.3f}",
            f"{1000 * kid['real_kid']:.3f}" if "real_kid" in kid else "",
            "lower",
        )
        for kind, kid in kinds.items()
    ]


def _reconstruction_rows(part: Mapping[str, float]) -> list[str]:
    return [
        _row(f"reconstruction: {name}", f"{part[key]:.4f}")
        for name, key in _RECONSTRUCTION
    ]


def _faces_rows(part: Mapping[str, Any]) -> list[str]:
    return [
        _row(name, f"{part[key]:.1%}", f"{part[f'real_{key}']:.1%}", better)
        for name, key, better in _FACES
        if key in part
    ]


def _percent(share: Mapping[str, Any]) -> str:
    low, high = share["interval_95"]
    return f"{share['score']:.1%} [{low:.1%}, {high:.1%}]"


def _adherence_rows(part: Mapping[str, Any]) -> list[str]:
    return [
        _row(
            f"adherence: {name} (chance {scores['drawn']['chance']:.1%})",
            f"{_percent(scores['drawn'])}, {scores['drawn_over_real']:.0%} of real",
            _percent(scores["real"]),
            "higher",
        )
        for name, scores in part.items()
    ]


def _color_prompt_rows(part: Mapping[str, Any]) -> list[str]:
    name = f"colour in plain prompts (chance {part['chance']:.1%})"
    return [_row(name, _percent(part), "", "higher")]


def _swap_rows(part: Mapping[str, Any]) -> list[str]:
    rows: list[str] = []
    for name, stays in part["other_seed_stays"].items():
        swap = part[name]
        others = np.mean(list(swap["others_stay"].values()))
        rows.append(
            _row(
                f"swap: {name} becomes the requested one (it already was:"
                f" {swap['was_before']:.1%})",
                _percent(swap["becomes"]),
                "",
                "higher",
            )
        )
        rows.append(_row(f"swap: others stay when {name} changes", f"{others:.1%}"))
        rows.append(_row(f"swap: {name} stays with another seed", f"{stays:.1%}"))
    return rows


def _diversity_rows(part: Mapping[str, float]) -> list[str]:
    real = f"{part['real_pairs']:.3f}"
    return [
        _row("LPIPS within a prompt", f"{part['within_prompt']:.3f}", real, "higher"),
        _row("LPIPS across prompts", f"{part['across_prompts']:.3f}", real, "higher"),
    ]


def _copying_rows(part: Mapping[str, float]) -> list[str]:
    return [
        _row(
            "LPIPS to the nearest training picture, median",
            f"{part['drawn_median']:.3f}",
            f"{part['heldout_median']:.3f}",
            "not far below real",
        ),
        _row(
            "the same, over real", f"{part['ratio_of_medians']:.2f}", "1", "0.8 or more"
        ),
    ]


def _latent_rows(part: Mapping[str, Any]) -> list[str]:
    active = f"{part['active_units']} of {part['units']}"
    return [
        _row("active latent units", active),
        _row("KL, nats per picture", f"{part['kl_nats']:.1f}"),
    ]
