"""The first configurations: scrambled Sobol points, numbers drawn toward the centre."""

from hpo.samplers.bayesian.coordinates import Array, Coordinates

N_DESIGN = 8
_TOWARD_CENTRE = 0.75


def design(coordinates: Coordinates, seed: int, n: int) -> Array:
    """Rows of ``n`` trials, spread evenly; a number u becomes .5 + .75 (u - .5), as edges are seldom good.

    Args:
        coordinates: of the space.
        seed: of the scrambling (Owen 1998).
        n: how many.
    """
    from scipy.stats.qmc import Sobol  # takes half a second, which other samplers need not wait for

    points = Sobol(len(coordinates.axes), scramble=True, rng=seed).random_base2(max(n - 1, 1).bit_length())[:n]
    drawn = 0.5 + _TOWARD_CENTRE * (points - 0.5)
    drawn[:, coordinates.is_choice] = points[:, coordinates.is_choice]
    return coordinates.from_uniform(drawn)
