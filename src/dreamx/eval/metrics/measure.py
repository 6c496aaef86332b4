"""Every score of one video of one trial."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval.estimators.events import event_accuracy
from dreamx.eval.estimators.features import feature_accuracy
from dreamx.eval.estimators.pose import pose_accuracy
from dreamx.eval.estimators.pose.aligned_to_truth import AlignedToTruth
from dreamx.eval.estimators.pose.pose_accuracy import shipped_estimator
from dreamx.eval.metrics import appearance, hold, revisit, similarity
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.camera_error import camera_error
from dreamx.eval.metrics.columns import overall
from dreamx.eval.metrics.psnr import gradient_energy, psnr
from dreamx.source_hash import source_hash


@dataclass(frozen=True)
class Measured:
    """scores: one number each, by name. curves: one number a second each, by name; None where a second has none."""

    scores: dict[str, float] = field(default_factory=dict[str, float])
    curves: dict[str, list[float | None]] = field(default_factory=dict[str, list[float | None]])


def measure(video: Tensor, truth: Clip, tools: Backbones, suite: str) -> Measured:
    """Score a video uint8 ``[F, 3, H, W]``, as long as the truth. Frame 0 was given, so scores against the truth leave it out."""
    scores = (
        camera_scores(video, truth)
        | (camera_scores_by_sight(video, truth) if suite == "basic" else {})
        | appearance_scores(video, truth, tools)
    )
    if (whole := overall(scores)) is not None:
        scores["overall"] = whole
    known, curves = reference_scores(video, truth, tools)
    scores |= known
    by_name: dict[str, list[float | None]] = {name: [*curve] for name, curve in curves.items()}
    if suite == "memory":
        gained = revisit.revisit_gains(video, truth.camera, tools.likenesses())
        back = revisit.find_revisits(truth.camera).after  # by the commanded path, not by an estimate of the walked one
        scores["psnr back"] = float(psnr(video[back], truth.video[back]).mean())
        scores |= {f"gain {name}": value for name, value in gained.gain.items()}
        name, embed = tools.steadiness_of()
        scores[name] = revisit.steadiness(video, embed)
    return Measured(scores, by_name)


def measure_hold(video: Tensor, truth: Clip, tools: Backbones, path: str, reference: Tensor) -> Measured:
    """Score a video uint8 ``[F, 3, H, W]`` of the suite hold against the truth and the features ``[M, D]`` of true renders.

    Scores begin with "home" or "open", as the path does; curves end in the path, both turns being one.
    """
    where = path.partition("-")[0]
    turns = "-turn-" in path
    named = f"{where}-turn" if turns else path
    known, curves = reference_scores(video, truth, tools)
    by_name: dict[str, list[float | None]] = {name: [*curves[name]] for name in ("psnr", "ssim", "sharpness")}
    shown = slice(hold.STRIDE, None, hold.STRIDE)
    second = round(truth.fps / hold.STRIDE)
    lives = hold.alive(hold.described(video[shown], tools.features_of()[1]), reference).float()
    by_name["alive"] = [100 * share for share in by_second(lives, second)]
    scores = {name: known[name] for name in ("psnr", "ssim", "sharpness", "sharpness end", "colour drift")}
    scores |= {"alive": 100 * float(lives.mean()), "alive end": 100 * float(lives[-5 * second :].mean())}
    unseen = hold.unseen_pixels(truth)
    for name, mask in (("unseen", unseen), ("seen", ~unseen)):
        whole, each = hold.parts(video[shown], truth.video[shown], mask, second)
        scores |= {f"{score} {name}": value for score, value in whole.items()}
        by_name |= {f"{score} {name}": curve for score, curve in each.items()}
    if turns:
        scores["turned off"] = hold.turned_off(video, truth)
    return Measured({f"{where} {k}": v for k, v in scores.items()}, {f"{k} {named}": v for k, v in by_name.items()})


def camera_scores(video: Tensor, truth: Clip) -> dict[str, float]:
    """Score the camera's path, read by alignment with the true render; a path that cannot be read scores 0."""
    try:
        read = AlignedToTruth(truth)(video, truth.camera.lens[0], truth.fps)
    except ValueError:
        return {"camera": 0.0}
    error = camera_error(read, truth.camera)
    return {"camera": error.score, "degrees": error.rotation, "metres": error.translation}


def camera_scores_by_sight(video: Tensor, truth: Clip) -> dict[str, float]:
    """The same, read from the video alone by the shipped estimator, whose own error is not small; {} where it cannot read."""
    estimator, _ = shipped_estimator("evaluation")
    try:
        read = estimator(video, truth.camera.lens[0], truth.fps)
    except ValueError:
        return {}
    error = camera_error(read, truth.camera)
    return {"camera by flow": error.score, "degrees by flow": error.rotation, "metres by flow": error.translation}


def camera_estimator() -> str:
    """Name the estimator that reads cameras by flow."""
    return "flow between frames, and a depth network of its own"


def own_error_of_estimator(truths: list[Measured]) -> str:
    """State the estimator's own error on true renders of the suite's paths; ``truths``: measurements of these renders.

    Other walks would not do: on those that it was checked with it is four times better than on the basic suite.
    """
    read = [m.scores for m in truths if "degrees by flow" in m.scores]
    if not read:
        return "its own error was not measured on these paths; add truth to the models"
    degrees, metres, score = (fmean(s[f"{n} by flow"] for s in read) for n in ("degrees", "metres", "camera"))
    return (
        f"on the true renders of these paths ({len(read)}) it is itself off by {degrees:.2f} degrees and {metres:.3f} m in the"
        f" mean, so that the truth scores {score:.2f} and not 100"
    )


def appearance_scores(video: Tensor, truth: Clip, tools: Backbones) -> dict[str, float]:
    """The columns of the paper's table, but for the camera. No ``artifact`` by the stand-in of a picture that stands still."""
    rate, true = tools.rate_of(), truth.video
    judge = tools.judge
    if judge is not None:
        artifact = {"artifact": judge.rate(appearance.sampled(video, truth.fps))}
    else:
        # A still picture cannot break down, and would score 100.
        artifact = {} if appearance.is_still(video) else {"artifact": appearance.collapse_rate(video, true, truth.fps)}
    return {
        "quality": appearance.detail_ratio(video, true) if rate is None else appearance.imaging_quality(video, rate),
        "transition": appearance.scene_transition(video),
        "flicker": appearance.flicker(video),
        "smoothness": appearance.smoothness(video, tools.middle_of()),
        "dynamic": appearance.dynamic_degree(video, truth.fps, tools.flow_of()),
        **artifact,
    }


def reference_scores(video: Tensor, truth: Clip, tools: Backbones) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Compare with the true render: mean scores, and curves by second."""
    seen, true = video[1:], truth.video[1:]  # the first frame was given: it would lift every mean
    distance = tools.distance_of()
    by_frame = {
        "psnr": psnr(seen, true),
        # 64 frames at a time, to bound memory.
        "ssim": torch.cat([similarity.ssim(a, b) for a, b in zip(seen.split(64), true.split(64), strict=True)]),
        "distance": torch.cat([distance(a, b) for a, b in zip(seen.split(64), true.split(64), strict=True)]),
        "colour": appearance.colour_error(seen, true),
    }
    curves = {name: by_second(values, truth.fps) for name, values in by_frame.items()}
    scores = {name: float(values.mean()) for name, values in by_frame.items()}
    fine, truly = gradient_energy(seen), gradient_energy(true)
    # A ratio of means: one wall in the truth, whose gradient energy is nearly 0, would rule a mean of ratios.
    scores["sharpness"] = float(fine.mean() / truly.mean())
    each = zip(by_second(fine, truth.fps), by_second(truly, truth.fps), strict=True)
    curves["sharpness"] = [a / b for a, b in each]
    scores["psnr end"], scores["sharpness end"] = curves["psnr"][-1], curves["sharpness"][-1]
    scores["colour drift"] = curves["colour"][-1] - curves["colour"][0]
    return scores, curves


def by_second(values: Tensor, fps: float) -> list[float]:
    """Return the mean of each second of ``values [F]``; a rest at the end counts where it is half a second or more."""
    parts = values.split(round(fps))
    if len(parts) > 1 and len(parts[-1]) < fps / 2:
        parts = parts[:-1]
    return [float(part.mean()) for part in parts]


def scoring_hash() -> str:
    """A hash of all code that scores, and of the networks it scores with: what other code measured is measured anew."""
    nets = [net / "evaluation" for net in (pose_accuracy.NETS, event_accuracy.NETS, feature_accuracy.NETS)]
    return source_hash(__name__, data=[f for net in nets for f in net.iterdir() if f.suffix in (".safetensors", ".json")])
