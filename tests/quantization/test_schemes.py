"""How ranges are found."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout

SCHEMES = ["min_max", "tf_enhanced", "percentile", "mse"]


@pytest.fixture(scope="module")
def calibrated(one_thread: None) -> Callable[..., Any]:
    """Return a function that calibrates one linear layer on a batch and returns the simulation."""

    def make(batch: torch.Tensor, scheme: Any, **more: Any) -> Any:
        torch.manual_seed(0)
        inputs = (torch.zeros(1, batch.shape[1]),)
        prepared = ptq.prepare(nn.Sequential(nn.Linear(batch.shape[1], 4)), inputs, equalize=False)
        found = ptq.simulate(prepared, inputs, Layout(scheme=scheme, **more))
        ptq.calibrate(found, [(batch,)])
        return found

    return make


def of_input(simulation: Any) -> Any:
    (found,) = (q for one in simulation.model.modules() for q in getattr(one, "input_quantizers", ()) if q is not None)
    return found


@pytest.fixture(scope="module")
def heavy_tailed() -> torch.Tensor:
    """Student's t with 3 degrees of freedom: ranges matter."""
    torch.manual_seed(0)
    return torch.distributions.StudentT(3.0).sample((4000, 8))


@pytest.fixture(scope="module")
def outlier() -> torch.Tensor:
    found = torch.rand(1000, 8, generator=torch.Generator().manual_seed(0))
    found[0, 0] = 1000.0
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_gives_usable_ranges(
    calibrated: Callable[..., Any], heavy_tailed: torch.Tensor, scheme: str
) -> None:
    for entry in ptq.encodings(calibrated(heavy_tailed, scheme)).values():
        assert all(0 < scale < float("inf") for scale in entry["scale"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_tensor_of_zeros_has_a_range(calibrated: Callable[..., Any], scheme: str) -> None:
    found = calibrated(torch.zeros(10, 8), scheme)
    assert bool(torch.isfinite(found.model(torch.zeros(2, 8))).all())


def test_min_max_keeps_an_outlier(calibrated: Callable[..., Any], outlier: torch.Tensor) -> None:
    assert of_input(calibrated(outlier, "min_max")).get_max().item() == pytest.approx(1000, rel=0.01)


def test_percentile_clips_an_outlier(calibrated: Callable[..., Any], outlier: torch.Tensor) -> None:
    assert of_input(calibrated(outlier, "percentile", percentile=99.9)).get_max().item() < 10


def test_a_percentile_of_hundred_is_min_max(calibrated: Callable[..., Any], heavy_tailed: torch.Tensor) -> None:
    ranges = [
        of_input(calibrated(heavy_tailed, scheme, percentile=100)).get_max().item()
        for scheme in ("percentile", "min_max")
    ]
    assert ranges[0] == pytest.approx(ranges[1], rel=0.02)


def test_mse_has_the_smallest_squared_error(calibrated: Callable[..., Any], heavy_tailed: torch.Tensor) -> None:
    errors = {}
    for scheme in SCHEMES:
        quantizer = of_input(calibrated(heavy_tailed, scheme, activation_bits=4))
        with torch.no_grad():
            errors[scheme] = float(((quantizer(heavy_tailed) - heavy_tailed) ** 2).mean())
    assert min(errors, key=errors.__getitem__) == "mse", errors


@pytest.mark.parametrize("scheme", ["min_max", "tf_enhanced", "mse"])
def test_large_numbers_that_only_a_later_batch_shows_are_not_cut(one_thread: None, scheme: Any) -> None:
    torch.manual_seed(0)
    inputs = (torch.zeros(1, 8),)
    found = ptq.simulate(
        ptq.prepare(nn.Sequential(nn.Linear(8, 4)), inputs, equalize=False), inputs, Layout(scheme=scheme)
    )
    ptq.calibrate(found, [(torch.rand(64, 8),), (100 * torch.rand(64, 8),)])
    assert of_input(found).get_max().item() > 90
