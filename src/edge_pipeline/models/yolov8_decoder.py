"""Decode the head maps of YOLOv8 inside of the network."""

import torch
from torch import nn


class BoxDecoder(nn.Module):
    """Make boxes in pixels, the best class and its score of the maps of all levels.

    A side of a box is the expectation of a distribution over whole distances from the anchor, in strides (Li et al.,
    Generalized Focal Loss, 2020). Left in float by quantization: eight bits cannot place a box to the pixel.

    Args:
        size: height and width of the input.
        strides: of the levels.
        reg_max: number of distances.
    """

    stays_float = True
    centres: torch.Tensor
    scales: torch.Tensor
    distances: torch.Tensor

    def __init__(self, size: tuple[int, int], strides: tuple[int, ...], reg_max: int) -> None:
        super().__init__()
        self._grids = [(size[0] // stride, size[1] // stride) for stride in strides]
        self._reg_max = reg_max
        centres, scales = [], []
        for (rows, columns), stride in zip(self._grids, strides, strict=True):
            y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
            centres.append(torch.stack([x.flatten(), y.flatten()]) * stride)
            scales.append(torch.full((rows * columns,), float(stride)))
        self.register_buffer("centres", torch.cat(centres, 1)[None], persistent=False)
        self.register_buffer("scales", torch.cat(scales)[None, None], persistent=False)
        self.register_buffer("distances", torch.arange(reg_max).float().reshape(1, 1, reg_max, 1), persistent=False)

    def forward(self, *maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return boxes (n, anchors, 4), scores (n, anchors), class_idx (n, anchors), all float32.

        With masks also the coefficients (n, anchors, channels) and the prototypes as they come.
        """
        levels = len(self._grids)
        boxes, classes = self._joined(maps[0 : 2 * levels : 2]), self._joined(maps[1 : 2 * levels : 2])
        likely = torch.softmax(boxes.reshape(boxes.shape[0], 4, self._reg_max, -1), 2)
        sides = (likely * self.distances).sum(2) * self.scales
        corners = torch.cat([self.centres - sides[:, :2], self.centres + sides[:, 2:]], 1)
        best = classes.max(1)
        found = (corners.transpose(1, 2), torch.sigmoid(best.values), best.indices.to(torch.float32))
        if len(maps) == 2 * levels:
            return found
        return (*found, self._joined(maps[2 * levels : -1]).transpose(1, 2), maps[-1])

    @staticmethod
    def _joined(maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return torch.cat([one.flatten(2) for one in maps], 2)
