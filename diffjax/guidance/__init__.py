"""Everything that changes a denoiser at sampling time: functions Denoiser -> Denoiser."""

from diffjax.guidance.chain import Transformation as Transformation
from diffjax.guidance.chain import chain as chain
from diffjax.guidance.classifier import classifier as classifier
from diffjax.guidance.classifier import gradient_of as gradient_of
from diffjax.guidance.classifier_free import classifier_free as classifier_free
from diffjax.guidance.threshold import clip as clip
from diffjax.guidance.threshold import dynamic_threshold as dynamic_threshold
