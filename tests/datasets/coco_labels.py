"""Annotations in COCO's form for tests."""

from typing import Any

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def annotation(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 7,
        "category_id": 5,
        "bbox": [10, 10, 10, 10],
        "segmentation": [SQUARE],
        **changes,
    }
