"""The listing of evaluators: what `config.evaluation.evaluators` may name, and what is the default."""

from diffjax.evaluation import (
    asked,
    bits,
    by_level,
    captions,
    classes,
    frechet,
    inception_score,
    kid,
    measures,
    neighbours,
    prdc,
    reconstruction,
    retrieval,
    wasserstein,
)
from diffjax.evaluation.evaluator import Evaluator, OfData

EVALUATORS: dict[str, Evaluator] = {
    each.name: each
    for each in (
        classes.ACCURACY,
        frechet.EVALUATOR,
        kid.EVALUATOR,
        wasserstein.EVALUATOR,
        prdc.EVALUATOR,
        inception_score.EVALUATOR,
        neighbours.COPIES,
        neighbours.DUPLICATES,
        classes.COMPONENTS,
        classes.MODES,
    )
}
OF_DATA: dict[str, OfData] = {
    each.name: each
    for each in (
        bits.EVALUATOR,
        measures.EVALUATOR,
        by_level.EVALUATOR,
        retrieval.EVALUATOR,
        retrieval.BY_LEVEL,
        captions.EVALUATOR,
        asked.EVALUATOR,
        reconstruction.EVALUATOR,
    )
}
NAMES = (*EVALUATORS, *OF_DATA)
DEFAULTS = {  # by what a system gives; what the data or the features lack is left out
    "images": (
        *("class_accuracy", "frechet", "kid", "prdc", "inception_score", "copies", "duplicates", "modes"),
        *("bits", "captions"),
    ),
    "points": (
        *("class_accuracy", "sliced_wasserstein", "prdc", "components", "duplicates", "modes", "bits"),
    ),
    "embeddings": ("class_accuracy", "frechet", "kid", "prdc"),
    None: ("measures", "by_level", "retrieval", "retrieval_by_level", "reconstruction"),
}
