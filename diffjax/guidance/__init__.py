"""Everything that changes a denoiser at sampling time: functions Denoiser -> Denoiser."""

from diffjax.guidance import operators as operators
from diffjax.guidance import strengths as strengths
from diffjax.guidance.apg import apg as apg
from diffjax.guidance.autoguidance import autoguidance as autoguidance
from diffjax.guidance.cfg_plus_plus import cfg_plus_plus as cfg_plus_plus
from diffjax.guidance.chain import Transformation as Transformation
from diffjax.guidance.chain import chain as chain
from diffjax.guidance.classifier import classifier as classifier
from diffjax.guidance.classifier import gradient_of as gradient_of
from diffjax.guidance.classifier_free import classifier_free as classifier_free
from diffjax.guidance.compose_conditions import compose_conditions as compose_conditions
from diffjax.guidance.inpaint import inpaint as inpaint
from diffjax.guidance.interval import interval as interval
from diffjax.guidance.linear_inverse import linear_inverse as linear_inverse
from diffjax.guidance.rescale import rescale as rescale
from diffjax.guidance.semantic import resembles_image as resembles_image
from diffjax.guidance.semantic import resembles_layout as resembles_layout
from diffjax.guidance.semantic import resembles_style as resembles_style
from diffjax.guidance.semantic import resembles_text as resembles_text
from diffjax.guidance.semantic import semantic as semantic
from diffjax.guidance.semantic import weighted as weighted
from diffjax.guidance.threshold import clip as clip
from diffjax.guidance.threshold import dynamic_threshold as dynamic_threshold
