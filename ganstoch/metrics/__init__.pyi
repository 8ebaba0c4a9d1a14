from .authpct import AuthPct as AuthPct
from .cmmd import CMMD as CMMD
from .copies import Copies as Copies
from .ct_score import CT as CT
from .features import Extractor as Extractor
from .features import make_extractor as make_extractor
from .fid import FID as FID
from .fld import FLD as FLD
from .inception_score import InceptionScore as InceptionScore
from .kid import KID as KID
from .l2_memorization import L2Memorization as L2Memorization
from .latent_recovery import recover as recover
from .membership import Membership as Membership
from .memorized_fraction import MemorizedFraction as MemorizedFraction
from .mifid import MiFID as MiFID
from .mind import MIND as MIND
from .neighbours import nearest_neighbours as nearest_neighbours
from .overfitting import OverfittingModeDrop as OverfittingModeDrop
from .overfitting import overfitting_mode_drop as overfitting_mode_drop
from .prdc import PRDC as PRDC
from .train_vs_held_out import TrainVsHeldOut as TrainVsHeldOut
from .vendi import Vendi as Vendi

__all__ = ["CMMD", "CT", "FID", "FLD", "KID", "MIND", "PRDC", "AuthPct", "Copies", "Extractor"]
__all__ += ["InceptionScore", "L2Memorization", "Membership", "MemorizedFraction", "MiFID"]
__all__ += ["OverfittingModeDrop", "TrainVsHeldOut", "Vendi", "make_extractor"]
__all__ += ["nearest_neighbours", "overfitting_mode_drop", "recover"]
