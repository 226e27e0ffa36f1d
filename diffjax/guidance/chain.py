"""Composition of guidance transformations."""


def chain(*transforms):
    """Compose transformations Denoiser -> Denoiser; the first acts first, on the network's own prediction.

    Example:
      denoise = chain(classifier_free(scale=3.0, null=null), dynamic_threshold(0.995))(denoise)
    """

    def transform(denoise):
        for each in transforms:
            denoise = each(denoise)
        return denoise

    return transform
