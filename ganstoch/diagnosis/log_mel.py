"""Log-mel spectrograms of waveforms, in which sounds that sound alike lie near each other."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MELS = 64
_SECONDS = 0.064  # of a window, to the nearest power of two of samples
_FLOOR = 1e-5  # of the data's mean energy, below which all is silence


def mel(hertz: Tensor) -> Tensor:
    """The pitch of a frequency by O'Shaughnessy's formula, 2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + hertz / 700)


def filterbank(rate: int, bins: int, *, mels: int = MELS) -> Tensor:
    """Triangles of height 1, equally wide in mel, up to half the rate; float32, (bins, mels)."""
    pitches = torch.linspace(0, mel(torch.tensor(rate / 2)).item(), mels + 2, dtype=torch.float64)
    corners = 700 * (10 ** (pitches / 2595) - 1)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    hertz = torch.linspace(0, rate / 2, bins, dtype=torch.float64)[:, None]
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


@dataclass(frozen=True, slots=True, eq=False)
class LogMel:
    """Rows of waveforms (N, T) at a rate in hertz: log energies, frame by frame."""

    rate: int
    floor: float = 0.0

    @classmethod
    def of(cls, waves: Tensor, *, rate: int) -> "LogMel":
        """With silence relative to how loud these waveforms are."""
        return cls(rate, max(_FLOOR * cls(rate).energies(waves).mean().item(), 1e-20))

    def energies(self, waves: Tensor) -> Tensor:
        """Energy in each band of each frame, shape (N, MELS, frames)."""
        size = 2 ** round(math.log2(max(_SECONDS * self.rate, 16)))
        window = torch.hann_window(size, device=waves.device)
        # Padded by zeros, which a waveform shorter than half a window allows too.
        spectrum = torch.stft(
            *(waves, size, size // 4),
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        bank = filterbank(self.rate, size // 2 + 1).to(waves.device)
        return bank.T @ spectrum.abs().square()

    def __call__(self, waves: Tensor) -> Tensor:
        """Rows (N, MELS x frames), float32."""
        return torch.log(self.energies(waves.float()) + self.floor).flatten(1)
