"""EfficientNet-Lite0 with its ImageNet weights, and crops of photographs that scikit-learn and scikit-image ship."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.checkpoints import state_to_bytes
from edge_pipeline.models.spec import ClassifierSpec

TRAIN, VALIDATION, TEST = 600, 60, 60
SHIPPED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")


class Crops:
    """Square crops of photographs, mirrored now and then; the label of each is what the float network says."""

    classes = tuple(str(one) for one in range(1000))

    def __init__(self, spec: ClassifierSpec, net: Any) -> None:
        import skimage
        from sklearn.datasets import load_sample_image

        folder = Path(skimage.__file__).parent / "data"
        self._photographs = [load_sample_image(name) for name in ("flower.jpg", "china.jpg")]
        self._photographs += [np.asarray(Image.open(folder / name).convert("RGB")) for name in SHIPPED]
        self.labels: list[int] | None = None
        self.parts = None
        self.labels = self._answers(spec, net)

    def __len__(self) -> int:
        return TRAIN + VALIDATION + TEST

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return crop `index`, (h, w, 3)."""
        generator = np.random.default_rng([7, index])
        photograph = self._photographs[index % len(self._photographs)]
        side = int(min(photograph.shape[:2]) * generator.uniform(0.5, 1))
        top, left = (int(generator.integers(0, length - side + 1)) for length in photograph.shape[:2])
        crop = photograph[top : top + side, left : left + side]
        return np.ascontiguousarray(crop[:, ::-1] if generator.random() < 0.5 else crop)

    def truth(self, index: int) -> int:
        """Return the class that the float network sees."""
        assert self.labels
        return self.labels[index]

    def content_hash(self) -> str:
        """Return a name for the photographs."""
        return "photographs"

    def _answers(self, spec: ClassifierSpec, net: Any) -> list[int]:
        import torch

        from edge_pipeline.pipelines.loading import batches

        found: list[int] = []
        with torch.no_grad():
            for batch in batches(self, recipes.interface(spec), range(len(self)), 32):  # type: ignore[arg-type]
                found += net(torch.from_numpy(batch.inputs[0])).argmax(1).tolist()
        return found


def photographs() -> tuple[ClassifierSpec, Crops, Split, Artifact]:
    """Return model, samples, split and weights."""
    spec = ClassifierSpec(
        recipe="classifier", network="efficientnet_lite0", classes=1000, pretrained=True, image_shape=(3, 225, 225)
    )
    net = recipes.recipe(spec).build(spec).eval()
    samples = Crops(spec, net)
    order = list(range(len(samples)))
    parts = order[:TRAIN], order[TRAIN : TRAIN + VALIDATION], order[TRAIN + VALIDATION :]
    split = Split("photographs", 0, samples.classes, *map(tuple, parts))
    interface = recipes.interface(spec)
    weights = Artifact(
        "weights",
        {"weights.pt": state_to_bytes(net.state_dict())},
        {"dataset": "photographs"},
        interface.inputs,
        interface.outputs,
    )
    return spec, samples, split, weights
