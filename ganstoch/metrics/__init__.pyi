from .authpct import AuthPct as AuthPct
from .copies import Copies as Copies
from .ct_score import CT as CT
from .features import Extractor as Extractor
from .features import make_extractor as make_extractor
from .fid import FID as FID
from .inception_score import InceptionScore as InceptionScore
from .kid import KID as KID
from .latent_recovery import recover as recover
from .mifid import MiFID as MiFID
from .neighbours import nearest_neighbours as nearest_neighbours
from .overfitting import OverfittingModeDrop as OverfittingModeDrop
from .overfitting import overfitting_mode_drop as overfitting_mode_drop
from .prdc import PRDC as PRDC
from .train_vs_held_out import TrainVsHeldOut as TrainVsHeldOut

__all__ = ["CT", "FID", "KID", "PRDC", "AuthPct", "Copies", "Extractor", "InceptionScore", "MiFID"]
__all__ += ["OverfittingModeDrop", "TrainVsHeldOut", "make_extractor", "nearest_neighbours"]
__all__ += ["overfitting_mode_drop", "recover"]
