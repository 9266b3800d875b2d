"""Draws aerial tiles of houses that a storm has hurt; the model is that of `damage`."""

import math

import numpy as np

from tfsci.simulate.texture import smooth_noise, turned

TILE = 40.0  # metres
HURT = 0.92  # share of the roof area that is hurt at s = 1
TABLE = 32  # edge of the tables of uniforms that texture is drawn from
_ROOFS = np.array(
    ((42, 41, 42), (50, 40, 33), (55, 33, 27), (30, 30, 33), (60, 56, 50), (40, 33, 29)), "float32"
) / np.float32(100)


def look_up(table: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The table's entries at the integer cells that hold (a, b), repeating beyond its edge."""
    cell = np.floor(a).astype("int32") % TABLE * TABLE + np.floor(b).astype("int32") % TABLE
    flat = np.take_along_axis(table.reshape(len(a), -1), cell.reshape(len(a), -1), axis=1)
    return flat.reshape(a.shape)


def paint(picture: np.ndarray, mask: np.ndarray, colour) -> None:
    """Lays a colour, (3,) or (3, B, H, W), over the picture, (3, B, H, W), where the mask is 1."""
    colour = np.asarray(colour, "float32")
    colour = colour.reshape(3, 1, 1, 1) if colour.ndim == 1 else colour
    picture += mask * (colour - picture)


def draw_tiles(s: np.ndarray, uniforms: np.ndarray, tables: np.ndarray, size: int) -> np.ndarray:
    """Draws the tiles: (B,), (B, P), (B, 4, 32, 32) -> (3, B, H, W). Lengths in metres."""
    column = iter(uniforms.T)
    batch, pixel = len(s), np.float32(TILE / size)

    def draw(low, high):
        return (low + (high - low) * next(column))[:, None, None]

    def tint():
        return _ROOFS[(len(_ROOFS) * next(column)).astype(int)].T[:, :, None, None]

    def side():
        return np.where(draw(-1, 1) < 0, -1, 1)

    def cover(distance):  # share of a pixel inside an edge, from the distance to it
        return np.clip(distance / pixel + 0.5, 0, 1)

    s = s[:, None, None]
    grid = (np.arange(size, dtype="float32") + 0.5) * pixel - TILE / 2
    x, y = np.broadcast_to(grid, (batch, size, size)), grid[:, None] + np.zeros_like(s)
    coarse, medium = smooth_noise(tables[:, 0], 7, size), smooth_noise(tables[:, 1], 16, size)
    fine = smooth_noise(tables[:, 2], 32, size)

    # Lawn, street and pavements, in the street's frame (u along, v across).
    u, v = turned(x, y, draw(0, math.pi))
    u, v = u - draw(-8, 8), v - draw(-7, 7)
    dry = draw(0, 1) + 0.25 * coarse
    lawn = (0.33 + 0.17 * dry, 0.42 + 0.04 * dry, 0.24 + 0.07 * dry)
    picture = np.stack([c + 0.018 * medium + 0.022 * fine for c in lawn])
    paint(picture, cover(0.5 - np.abs(np.abs(v) - 4.4)), (0.66, 0.64, 0.60))
    paint(picture, cover(3.4 - np.abs(v)), np.stack([0.42 + 0.015 * fine] * 3))

    # Houses: the roof's height above its eaves, its colour, and the frame of its tiles.
    rise, along, across = (np.full((batch, size, size), -9, "float32") for _ in range(3))
    colour = np.zeros_like(picture)
    for lot, hand in ((j, k) for j in (-1, 0, 1) for k in (-1, 1)):
        length, width = draw(5.2, 7.2), draw(3.8, 4.8)
        middle_u = u - (lot * 17 + draw(-1, 1) + hand * 3)
        middle_v = v - hand * (11.5 + draw(-1, 1))
        a, b = turned(middle_u, middle_v, draw(-0.06, 0.06))
        hip = np.where(draw(0, 1) < 0.5, np.float32(1), np.float32(9))  # 9: steep ends, a gable
        main = np.minimum(width - np.abs(b), (length - np.abs(a)) * hip)
        end, reach = side(), draw(-2.5, 3.5)  # a wing where the reach is enough
        wing = np.minimum(3 - np.abs(a - end * (length - 3)), (width + reach + hand * b) * hip)
        wing = np.where((reach > 0.8) & (hand * b < 0), wing, -1)
        drive = np.minimum(1.4 - np.abs(a + end * (length - 2)), hand * v - 3.4)
        paint(picture, cover(np.minimum(drive, -hand * middle_v)), (0.70, 0.68, 0.65))
        rise = np.maximum(rise, np.maximum(main, wing))  # negative: the distance to a house
        here = np.maximum(main, wing) > 0
        tiles = np.broadcast_to(tint() * draw(0.85, 1.15), colour.shape)
        np.copyto(along, np.where(wing >= main, b, a), where=here)
        np.copyto(across, np.where(wing >= main, a, b), where=here)
        np.copyto(colour, tiles, where=here)
    roof = rise > 0
    colour *= 1 + 0.03 * fine + 0.04 * np.sin(across * 5)

    # The worst HURT·s of the roof's area is hurt: patchy, with the straight edges of sheets.
    sheet = look_up(tables[:, 3], along / 2.4 + 16, across / 1.6 + 16)
    order = np.where(roof, coarse + 0.6 * medium + 2.2 * sheet, np.inf).reshape(batch, -1)
    ranked = np.sort(order, axis=1)

    def worst(share):
        count = np.rint(share[:, 0, 0] * roof.sum(axis=(1, 2))).astype(int)
        limit = np.take_along_axis(ranked, np.minimum(count, size**2 - 1)[:, None], axis=1)
        return (order < limit).reshape(roof.shape)

    hurt, opened = worst(HURT * s), worst(HURT * s**2)
    tarp = look_up(tables[:, 2], along / 4 + 16, across / 3.3 + 16) < 0.45 * (1 - s)
    rafter = 0.25 * (1 - s) * (np.abs((along + 40) % 1.3 - 0.65) < 0.2)
    inner = rafter + 0.5 * s * (look_up(tables[:, 0], along / 0.8, across / 1.1) - 0.2)
    paint(colour, hurt, np.stack([c + 0.05 * fine for c in (0.68, 0.58, 0.44)]))
    paint(colour, opened, np.stack([c + 0.05 * fine + inner for c in (0.20, 0.17, 0.15)]))
    paint(colour, hurt & ~opened & tarp, (0.16, 0.36, 0.74))

    # Debris on the ground, then pieces of roof carried off, one more from each next severity on.
    dense = 0.26 * s * np.clip(1.1 + rise / 5, 0.2, 1)
    height = np.zeros_like(rise)
    for table, cell in ((0, 0.9), (1, 1.5)):
        a, b = turned(x + 60, y + 60, draw(0, math.pi))
        litter = look_up(tables[:, table], a / cell, b / cell * 1.7)
        kind = look_up(tables[:, 3], a / cell, b / cell * 1.7)
        paint(picture, litter < dense, np.stack([c + 0.4 * kind for c in (0.38, 0.33, 0.26)]))
    for piece in range(5):
        a, b = turned(u - draw(-16, 16), v - side() * draw(0, 19), draw(0, math.pi))
        inside = np.minimum(draw(1.0, 2.2) - np.abs(a), draw(0.7, 1.4) - np.abs(b))
        mask = cover(inside) * (s > 0.3 + 0.12 * piece)
        paint(picture, mask, tint() + 0.1 * np.sign(b) + 0.03 * fine)
        height = np.maximum(height, 0.8 * mask)

    # Trees lose leaves as s grows; roofs lie above them, and fall in where they are open.
    for _ in range(6):
        a, b = u - draw(-20, 20), v - side() * draw(6, 22)
        radius = draw(1.2, 3.2) * (1 - 0.4 * s)
        bump = 1 - (a**2 + b**2) / radius**2 + 0.3 * medium + 0.15 * fine
        crown = np.sqrt(np.clip(bump, 0, 1))
        leaf = [c + 0.05 * medium + 0.04 * fine for c in (0.20, 0.30, 0.15)]
        paint(picture, np.clip(3 * bump, 0, 1), np.stack(leaf) + 0.06 * crown)
        height = np.maximum(height, crown * (2 + radius))
    paint(picture, roof, colour)
    pitched = np.where(roof, 0.55 * rise, 0)
    height = np.where(roof, (3 + pitched) * (1 - 0.7 * s * opened), height)
    light = sunlight(pitched, height, draw(0, 2 * math.pi), draw(0.65, 1.0), pixel)
    return picture * light * draw(0.9, 1.15)


def sunlight(pitched, height, azimuth, elevation, pixel) -> np.ndarray:
    """Lambert's cosine on the roofs, and shadows along the sun's ray; 1 on open flat ground."""
    east, north = np.cos(azimuth), np.sin(azimuth)
    slope_y, slope_x = np.gradient(pitched, pixel, axis=(1, 2))
    cosine = np.tan(elevation) - east * slope_x - north * slope_y
    light = cosine / np.tan(elevation) / np.sqrt(1 + slope_x**2 + slope_y**2)
    light = 0.35 + 0.65 * np.clip(light, 0, 1.5)
    batch, size = height.shape[:2]
    flat, pixels = height.reshape(batch, -1), np.arange(size)
    shaded = np.zeros(height.shape, "float32")
    for step in np.arange(0.6, 6, 0.6, dtype="float32"):
        column = np.clip(np.rint(pixels + step * east / pixel), 0, size - 1).astype(int)
        row = np.clip(np.rint(pixels[:, None] + step * north / pixel), 0, size - 1).astype(int)
        seen = np.take_along_axis(flat, (row * size + column).reshape(batch, -1), axis=1)
        over = seen.reshape(height.shape) - step * np.tan(elevation) - height
        shaded = np.maximum(shaded, np.clip(2 * over, 0, 1))
    return light * (1 - 0.5 * shaded)
