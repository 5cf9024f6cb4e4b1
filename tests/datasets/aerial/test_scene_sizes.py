import numpy as np
import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.aerial import OBJECT_CLASSES, AerialSettings, render


@pytest.mark.parametrize("size", [(32, 48), (128, 128), (224, 160), (360, 640)])
def test_a_scene_has_the_size_asked_for(size: tuple[int, int]) -> None:
    scene = render(AerialSettings(10, 0, size), 4)
    assert scene.picture.shape == (*size, 3) and scene.picture.dtype == np.uint8
    assert scene.labels.shape == size and scene.labels.dtype == np.uint8
    assert scene.instances.size == size
    assert scene.picture.std() > 5


@pytest.mark.slow
def test_a_wide_scene() -> None:
    scene = render(AerialSettings(10, 0, (1024, 2048)), 1)
    assert scene.picture.shape == (1024, 2048, 3)
    assert len(scene.instances) > 10


def car_length(size: tuple[int, int], altitude: float) -> float:
    settings = AerialSettings(1000, 0, size, (altitude, altitude))
    lengths = []
    for i in range(12):
        found = render(settings, i).instances
        inner = (found.boxes[:, :2] > 0).all(1) & (found.boxes[:, 2:] < np.asarray(size[::-1])).all(1)
        cars = found.take(inner & (found.classes == OBJECT_CLASSES.index("car")))
        lengths += [float(np.hypot(x2 - x1, y2 - y1)) for x1, y1, x2, y2 in cars.boxes]
    return float(np.median(lengths))


def test_cars_are_as_large_in_small_pictures_and_smaller_from_higher() -> None:
    low, high, small = car_length((288, 288), 40), car_length((288, 288), 100), car_length((128, 128), 100)
    assert 45 <= low <= 62
    assert 18 <= high <= 26
    assert abs(small - high) < 3


def test_the_altitude_lies_in_the_range_asked_for() -> None:
    settings = AerialSettings(20, 0, (64, 64), (50, 60))
    altitudes = [render(settings, i).altitude for i in range(20)]
    assert 50 <= min(altitudes) < 53 and 57 < max(altitudes) <= 60


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": (16, 64)}, "sides of size must be 32 pixels or more, not 16x64"),
        ({"altitudes": (80.0, 60.0)}, "altitudes must be two rising numbers between 20 and 400 m, not 80 and 60"),
        ({"altitudes": (5.0, 60.0)}, "between 20 and 400 m"),
        ({"count": -1}, "count must be 0 or more, not -1"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        AerialSettings(**{"count": 1, "seed": 0, "size": (64, 64), **changed})  # type: ignore[arg-type]
