"""Surface-brightness profiles of galaxies, and the point-spread function that blurs them."""

import functools
import math

import numpy as np


def sersic_b(n):
    """Returns b_n, where γ(2n, b_n) = Γ(2n)/2, to 4e-6 for n ≥ 1 and 1e-7 for n ≥ 2.5.

    To n⁻² the series is Ciotti and Bertin's (1999, eq. 18). b_n is the median of a gamma
    distribution of shape 2n, whose known series (Berg and Pedersen 2006) gives the last two terms:
    the 131/1148175 that is usually quoted for n⁻³ leaves 4e-5 at n = 1 and 5e-7 at n = 4.
    """
    series = 4 / 405 + 46 / (25515 * n) + 281 / (3444525 * n**2) - 2375801 / (30690717750 * n**3)
    return 2 * n - 1 / 3 + series / n


def sersic(radius, effective_radius, n):
    """Returns the round Sérsic profile of unit flux, per unit of area; arguments broadcast."""
    b = sersic_b(n)
    gamma = np.vectorize(math.gamma)(2.0 * n)
    scale = b ** (2 * n) / (2 * math.pi * n * gamma * effective_radius**2)
    return scale * np.exp(-b * (radius / effective_radius) ** (1 / n))


@functools.cache
def _edge_on_table() -> tuple[np.ndarray, np.ndarray]:
    """Tabulates x K₁(x) = x ∫₀^∞ exp(−x cosh t) cosh t dt on 0 … 20, by the trapezoidal rule."""
    x = np.linspace(0, 20, 2001)
    t = np.linspace(0, 12, 1201)
    values = np.exp(-x[:, None] * np.cosh(t)) * np.cosh(t)
    values = x * (values.sum(axis=1) - 0.5 * values[:, 0]) * t[1]
    values[0] = 1  # the limit
    return x, values


def edge_on(r, z, scale_length, scale_height):
    """Returns the edge-on exponential sech² disc of unit flux, per unit of area."""
    along = np.interp(np.abs(r) / scale_length, *_edge_on_table())
    decay = np.exp(-2 * np.abs(z) / scale_height)  # sech² = 4 e^(−2|u|) / (1 + e^(−2|u|))²
    return along * 2 * decay / ((1 + decay) ** 2 * math.pi * scale_length * scale_height)


def moffat(size: int, pixel: float, fwhm, beta: float = 3.5) -> np.ndarray:
    """Returns point-spread functions that sum to 1, centred on pixel (0, 0) and periodic.

    Args:
        size: Pixels along an edge.
        pixel: Arcsec a pixel.
        fwhm: Full width at half maximum in arcsec, shape (B,).
        beta: Slope of the wings, (1 + r²/γ²)^(−β) (Moffat 1969).

    Returns:
        Shape (B, size, size), float32.
    """
    offset = (np.fft.fftfreq(size) * size * pixel) ** 2
    width = np.asarray(fwhm, float)[:, None, None] / (2 * math.sqrt(2 ** (1 / beta) - 1))
    psf = (1 + (offset + offset[:, None]) / width**2) ** -beta
    return (psf / psf.sum(axis=(1, 2), keepdims=True)).astype("float32")


def convolve(light: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolves periodically over the last two axes, so that the flux is kept."""
    return np.fft.irfft2(np.fft.rfft2(light) * np.fft.rfft2(psf), s=light.shape[-2:])
