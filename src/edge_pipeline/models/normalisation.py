"""Mean and standard deviation of pictures whose values are 0 to 1; one number, or red, green and blue."""

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def of_channels(normalisation: Normalisation, channels: int) -> Normalisation:
    """Return what fits pictures with `channels`; a grey picture gets the means of the three colours."""
    mean, std = normalisation
    if channels != 1:
        return mean, std
    return (sum(mean) / len(mean),), (sum(std) / len(std),)
