"""Generated drone views of cities, suburbs, farmland, forests, coasts and car parks, with exact labels."""

from edge_pipeline.datasets.aerial.render import render
from edge_pipeline.datasets.aerial.samples import AerialScenes
from edge_pipeline.datasets.aerial.settings import OBJECT_CLASSES, PLACES, SURFACE_CLASSES, AerialSettings, Scene

__all__ = ["OBJECT_CLASSES", "PLACES", "SURFACE_CLASSES", "AerialScenes", "AerialSettings", "Scene", "render"]
