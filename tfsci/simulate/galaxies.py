"""Cut-outs of a galaxy survey: ellipticals, spirals, edge-on discs and mergers.

**Model**, in arcseconds and electrons; a cut-out is 25.6″ wide (0.4″ a pixel at 64×64), its three
bands are g, r and i. Light is given per arcsec² and per unit of a galaxy's flux.

- Sérsic profile: I(R) = I_e exp(−b_n [(R/R_e)^{1/n} − 1]), of total flux
  2π n R_e² I_e e^{b_n} b_n^{−2n} Γ(2n) q (Graham and Driver 2005, eq. 4), with b_n such that half
  of it lies within R_e, by the asymptotic series that Ciotti and Bertin 1999 introduced.
- Ellipticals: n from 2 to 6, axis ratio q from 0.45 to 1; bluer outwards, as R_e is 8 % larger in
  g and 7 % smaller in i.
- Spirals: exponential disc (Freeman 1970) times 1 − A + A exp(κ cos ψ)/I₀(κ) with the phase
  ψ = m (φ − ln(R/h)/tan p) of m logarithmic arms of pitch p: its mean over φ is 1, so that arms
  move light and add none (before clumps); a Sérsic bulge, and a bar in some.
- Edge-on discs: (R/h) K₁(R/h) sech²(z/z₀)/(2π h z₀), the exponential disc with an isothermal
  vertical profile seen from its plane (van der Kruit and Searle 1981); a bulge, and a dust lane in
  most, which takes light away.
- Mergers: two Sérsic galaxies of flux ratio 1 to 4, a common halo, and a curved tidal tail each.

Then faint field objects, a Moffat point-spread function (β = 3.5), Poisson noise of light and sky,
read noise, sky subtraction, and the colour-preserving asinh stretch of Lupton et al. 2004.

**Labels** are a volunteer's, who with probability ε, the `label_noise`, names one of the three
other types, each as likely. **Known answer**: whoever knows the type k is right with probability
max_j P(label = j | k) = max(1 − ε, ε/3), and nobody is right more often, as a picture tells the
type at best. It is an upper bound: the likelihood of a picture has no closed form, so what
faintness and blur cost beyond ε is not known.
"""

import math

import numpy as np

from tfsci.simulate.checks import check, sample_numbers
from tfsci.simulate.profiles import convolve, edge_on, moffat, sersic
from tfsci.simulate.texture import smooth_noise, turned

TYPES = ("elliptical", "spiral", "edge-on disc", "merger")
FIELD = 25.6  # arcsec
READ_NOISE = 5.0  # electrons
SKY = (900.0, 1250.0, 1900.0)  # electrons per arcsec² in g, r, i
_CHUNK = 32
_RANGES = {
    "seed": (0, 2**63, int),
    "size": (16, 4096, int),
    "label_noise": (0, 1, float),
    "brightness": (1e-3, 1e3, float),
}
_RED, _DISC, _BLUE = (
    np.array(c, "float32").reshape(3, 1, 1, 1)
    for c in ((0.50, 1.0, 1.40), (0.80, 1.0, 1.15), (1.15, 1.0, 0.85))
)


def best_accuracy(label_noise: float = 0.05) -> float:
    """Returns max(1 − ε, ε/3), which no classifier can exceed; see the module's text.

    Args:
        label_noise: ε, the probability of a wrong label, 0 … 1.

    >>> best_accuracy(0.05)
    0.95
    """
    check(_RANGES, label_noise=label_noise)
    return max(1 - label_noise, label_noise / 3)


def expose(electrons: np.ndarray, sky: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns an exposure less its sky: Poisson(electrons + sky) + N(0, READ_NOISE²) − sky."""
    counts = rng.poisson(electrons + sky) - sky
    return counts + READ_NOISE * rng.standard_normal(electrons.shape)


def stretch(brightness: np.ndarray, softening: float = 400.0, white: float = 5e4) -> np.ndarray:
    """Shows g, r, i as blue, green, red; keeps colours while asinh maps the mean to 0 … 1.

    Lupton et al. 2004, eq. 2: F = f·asinh(I/softening)/I with I the mean over the bands; where a
    colour exceeds 1 all three are divided by it.

    Args:
        brightness: Electrons per arcsec², shape (bands, …), bands in order of wavelength.
        softening: Where linear turns to logarithmic, electrons per arcsec².
        white: What becomes 1, electrons per arcsec².
    """
    scaled = brightness[::-1] / softening
    mean = np.abs(scaled.mean(axis=0)) + 1e-6
    shown = scaled * (np.arcsinh(mean) / mean / math.asinh(white / softening)) + 0.04
    return np.clip(shown / np.maximum(shown.max(axis=0), 1), 0, 1)


def generate(
    indices,
    seed: int = 0,
    size: int = 64,
    channels: int = 3,
    label_noise: float = 0.05,
    brightness: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the samples that `indices` name; sample i depends on (seed, i) and the options alone.

    Args:
        indices: Integers from 0 on, in any order.
        seed: Seed of the data set.
        size: Pixels along an edge of the 25.6″ cut-out.
        channels: 3 (i, r, g as red, green, blue) or 1 (r).
        label_noise: ε, the probability that the label is one of the other types.
        brightness: Times 60,000 to 600,000 electrons in r; lower is noisier.

    Returns:
        Pictures, float32 of shape (N, size, size, channels) in [0, 1], and labels, int32 of shape
        (N,), numbering `TYPES`.

    Raises:
        ValueError: An argument is out of its range.
    """
    check(_RANGES, seed=seed, size=size, label_noise=label_noise, brightness=brightness)
    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3; received {channels!r}")
    rows = sample_numbers(indices)
    x = np.empty((len(rows), size, size, channels), "float32")
    y = np.empty(len(rows), "int32")
    pixel = FIELD / size
    sky = np.array(SKY).reshape(3, 1, 1) * pixel**2
    bands = slice(None) if channels == 3 else slice(1, 2)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        streams = [np.random.default_rng([int(seed), int(i)]) for i in rows[part]]
        types, y[part] = np.array([_label(rng, label_noise) for rng in streams]).T
        uniforms = np.array([rng.random(64, "float32") for rng in streams])
        tables = np.array([rng.random((2, 32, 32), "float32") for rng in streams])
        electrons = brightness * _scene(types, uniforms, tables, size)  # (B, 3, H, W)
        counts = np.array([expose(e, sky, r) for e, r in zip(electrons, streams, strict=True)])
        shown = stretch(np.moveaxis(counts[:, bands] / pixel**2, 1, 0))
        x[part] = np.moveaxis(shown, 0, -1)
    return x, y


def _label(rng: np.random.Generator, label_noise: float) -> tuple[int, int]:
    """Draws a galaxy's type and the volunteer's label."""
    kind, wrong, other = int(4 * rng.random()), rng.random() < label_noise, int(3 * rng.random())
    return kind, (kind + 1 + other) % 4 if wrong else kind


def _spheroid(x, y, angle, effective_radius, n, q) -> np.ndarray:
    """A Sérsic galaxy of unit flux; the pixels of its core are means over 8×8 points."""

    def light(x, y):
        a, b = turned(x, y, angle)
        return sersic(np.sqrt(a**2 + (b / q) ** 2), effective_radius, n) / q

    image = light(x, y)
    pixel = (x[:, 0, 1] - x[:, 0, 0])[:, None, None, None]  # a sample's own, to the last bit
    column = np.abs(x[:, 0, :]).argmin(axis=1)[:, None, None] + np.arange(-2, 3)
    row = np.abs(y[:, :, 0]).argmin(axis=1)[:, None, None] + np.arange(-2, 3)[:, None]
    sample = np.arange(len(x))[:, None, None]
    within = ((np.arange(8, dtype="float32") + 0.5) / 8 - 0.5) * pixel
    fine_x = (x[sample, 0, column][..., None] + within).reshape(len(x), 1, 40)
    fine_y = (y[sample, row, 0][..., None] + within).reshape(len(x), 40, 1)
    core = light(fine_x, fine_y)
    core = core.reshape(*core.shape[:-2], 5, 8, 5, 8).mean(axis=(-3, -1))
    image[..., sample, row, column] = core
    return image


def _blobs(x, y, at_x, at_y, width, flux) -> np.ndarray:
    """Sums round Gaussians, each (B, K), by outer products: (B, H, K) @ (B, K, W)."""
    across = np.exp(-0.5 * ((x[:, :1, :] - at_x[..., None]) / width[..., None]) ** 2)
    down = np.exp(-0.5 * ((y[:, :, :1] - at_y[:, None]) / width[:, None]) ** 2)
    return (down * (flux / (2 * math.pi * width**2))[:, None]) @ across


def _elliptical(x, y, draw, noise) -> np.ndarray:
    gradient = np.array([1.08, 1.0, 0.93], "float32").reshape(3, 1, 1, 1)
    size = draw(1.4, 4.0) * gradient
    return _RED * _spheroid(x, y, draw(0, math.pi), size, draw(2, 6), draw(0.45, 1))


def _spiral(x, y, draw, noise) -> np.ndarray:
    angle, q, h = draw(0, math.pi), draw(0.35, 1), draw(1.9, 3.2)
    a, b = turned(x, y, angle)
    radius, azimuth = np.sqrt(a**2 + (b / q) ** 2) + 1e-3, np.arctan2(b / q, a)
    arms = np.where(draw(0, 1) < 0.7, np.float32(2), np.float32(3))
    winding = np.sign(draw(-1, 1)) / np.tan(draw(0.22, 0.45))
    phase = arms * (azimuth - winding * np.log(radius / h)) + 0.35 * noise[0] + draw(0, 6.28)
    sharp = draw(1.5, 3.0)
    arm = np.exp(sharp * np.cos(phase)) / np.i0(sharp).astype("float32")
    arm *= 1 + 0.4 * np.clip(noise[1], -1.5, 2)  # clumps
    share = draw(0.6, 0.9) * (1 - np.exp(-((radius / (0.8 * h)) ** 2)))
    disc = np.exp(-radius / h) / (2 * math.pi * h**2 * q)
    disc = disc * (_DISC * (1 - share) + _BLUE * share * arm)
    bulge = _spheroid(x, y, angle, h * draw(0.2, 0.35), draw(1.2, 3.5), 0.5 + 0.5 * q)
    barred, length = draw(0, 1) < 0.35, 0.45 * h
    a, b = turned(x, y, angle + draw(-0.5, 0.5))
    bar = np.exp(-0.5 * ((a / length) ** 2 + (b / (0.3 * length)) ** 2)) / (0.6 * math.pi)
    bulge_share, bar_share = draw(0.06, 0.3), 0.08 * barred
    light = bulge_share * bulge + bar_share * bar / length**2
    return (1 - bulge_share - bar_share) * disc + _RED * light


def _edge_on_disc(x, y, draw, noise) -> np.ndarray:
    angle, h, flat = draw(0, math.pi), draw(1.8, 3.2), draw(5, 8)
    r, z = turned(x, y, angle)
    height = np.maximum(h / flat, 0.36)
    z = z + draw(-0.012, 0.012) * r * np.abs(r) / h  # a slight warp
    disc = edge_on(r, z, h, height).astype("float32")
    bulge_share = draw(0.03, 0.35)
    bulge = _spheroid(x, y, angle, h * draw(0.2, 0.4), draw(1, 3), draw(0.6, 0.9))
    dust = np.maximum(draw(-0.8, 1.8), 0) * np.exp(-np.abs(r) / (1.3 * h))
    dust = dust * np.exp(-0.5 * ((z - draw(-0.2, 0.2)) / 0.25) ** 2) * (1 + 0.3 * noise[1])
    reddening = np.array([1.3, 1.0, 0.75], "float32").reshape(3, 1, 1, 1)
    light = (1 - bulge_share) * _DISC * disc + _RED * bulge_share * bulge
    return light * np.exp(-reddening * dust)


def _merger(x, y, draw, noise) -> np.ndarray:
    angle, apart, ratio = draw(0, 2 * math.pi), draw(2.2, 5.0), draw(0.2, 0.5)
    t = np.linspace(0, 1, 40, dtype="float32")
    hand = np.sign(draw(-1, 1))[:, :, 0]
    light = 0.15 * _DISC * _spheroid(x, y, draw(0, math.pi), draw(2.5, 4), 1.0, draw(0.5, 1))
    for sign, share in ((1, ratio), (-1, 1 - ratio)):
        offset_x, offset_y = (sign * (1 - share) * apart * f(angle) for f in (np.cos, np.sin))
        shape = draw(0, math.pi), draw(0.8, 1.8), draw(1, 3.5), draw(0.45, 1)
        colour = _BLUE + (_RED - _BLUE) * draw(0.1, 1)
        tail_share = draw(0.08, 0.22)
        galaxy = _spheroid(x - offset_x, y - offset_y, *shape)
        turn = (angle + (0 if sign > 0 else math.pi))[:, :, 0]
        bend = turn + hand * (draw(-0.3, 0.4)[:, :, 0] + draw(1.2, 2.4)[:, :, 0] * t)
        reach = 0.8 + draw(6, 11)[:, :, 0] * t  # (B, 40)
        fade = np.exp(-draw(0.5, 1.5)[:, :, 0] * t)
        tail_x = offset_x[:, :, 0] + reach * np.cos(bend)
        tail_y = offset_y[:, :, 0] + reach * np.sin(bend)
        tail = _blobs(x, y, tail_x, tail_y, 0.5 + 0.5 * t + 0 * reach, fade / fade.sum(1)[:, None])
        clumps = 1 + 0.35 * np.clip(noise[1], -2, 2)
        light = light + 0.85 * share * (1 - tail_share) * colour * galaxy
        light = light + 0.85 * share * tail_share * _BLUE * tail * clumps
    return light


_KINDS = (_elliptical, _spiral, _edge_on_disc, _merger)


def _scene(types, uniforms, tables, size: int) -> np.ndarray:
    """Renders electrons a pixel, (B, 3, size, size); the frame drawn is a quarter wider."""
    pixel, wide = np.float32(FIELD / size), size + 2 * (size // 8)
    grid = (np.arange(wide, dtype="float32") - (wide - 1) / 2) * pixel
    light = np.empty((len(types), 3, wide, wide), "float32")
    for kind in np.unique(types):
        chosen = types == kind
        column = iter(uniforms[chosen].T)

        def draw(low, high, column=column):
            return (low + (high - low) * next(column))[:, None, None]

        x = grid - draw(-0.8, 0.8) + np.zeros((1, wide, 1), "float32")
        y = grid[:, None] - draw(-0.8, 0.8) + np.zeros((1, 1, wide), "float32")
        noise = [smooth_noise(tables[chosen, j], cells, wide) for j, cells in enumerate((9, 26))]
        electrons = 6e4 * 10 ** draw(0, 1) * _KINDS[kind](x, y, draw, noise)
        light[chosen] = electrons.swapaxes(0, 1)
    # Field stars and far galaxies, at least 7″ from the middle, 150 to 15,000 electrons.
    u = uniforms[:, -16:]
    away, turn = 7 + 7 * u[:, :4], 2 * math.pi * u[:, 4:8]
    flux, colour = 150 * 10 ** (2 * u[:, 8:12]), 0.7 + 0.6 * u[:, 12:]
    at = away * np.cos(turn), away * np.sin(turn), np.full_like(away, 0.3)
    for band, tint in enumerate((2 - colour, 1, colour)):
        light[:, band] += _blobs(grid[None, None], grid[None, :, None], *at, flux * tint)
    light = convolve(light, moffat(wide, float(pixel), 0.9 + 0.5 * uniforms[:, -17])[:, None])
    inner = slice(size // 8, -(size // 8))
    return np.maximum(light[..., inner, inner], 0) * pixel**2
