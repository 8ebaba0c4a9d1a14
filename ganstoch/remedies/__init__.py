"""Remedies: one file each, one line here each."""

from ganstoch.remedies.acgan import ACGAN
from ganstoch.remedies.base import Remedies, Remedy
from ganstoch.remedies.batch_norm import DiscriminatorBatchNorm
from ganstoch.remedies.diff_augment import DiffAugment
from ganstoch.remedies.experience_replay import ExperienceReplay
from ganstoch.remedies.feature_matching import FeatureMatching
from ganstoch.remedies.label_flipping import LabelFlipping
from ganstoch.remedies.label_smoothing import LabelSmoothing
from ganstoch.remedies.learnable_latents import LearnableLatents
from ganstoch.remedies.memorization_rejection import MemorizationRejection
from ganstoch.remedies.minibatch_discrimination import MinibatchDiscrimination
from ganstoch.remedies.mixture import Mixture
from ganstoch.remedies.packing import Packing
from ganstoch.remedies.pretraining import Pretraining
from ganstoch.remedies.r1 import R1
from ganstoch.remedies.r2 import R2
from ganstoch.remedies.ratio import Ratio
from ganstoch.remedies.snapshots import Snapshots
from ganstoch.remedies.svre import SVRE
from ganstoch.remedies.timescales import Timescales
from ganstoch.remedies.unrolling import Unrolling
from ganstoch.remedies.weight_clipping import WeightClipping
from ganstoch.remedies.wgan_gp import WGANGP

__all__ = ["ACGAN", "R1", "R2", "SVRE", "WGANGP", "DiffAugment", "DiscriminatorBatchNorm"]
__all__ += ["ExperienceReplay", "FeatureMatching", "LabelFlipping", "LabelSmoothing"]
__all__ += ["LearnableLatents", "MemorizationRejection", "MinibatchDiscrimination"]
__all__ += ["Mixture", "Packing", "Pretraining", "Ratio", "Remedies", "Remedy", "Snapshots"]
__all__ += ["Timescales", "Unrolling", "WeightClipping"]
