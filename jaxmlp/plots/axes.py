"""What all plots have in common: colors, names and plain axes."""

from typing import TYPE_CHECKING, Literal

from jaxmlp._validation import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

BLUE, ORANGE, GREY = "#1f4e79", "#c8642b", "#8a8a8a"
COLORS = (BLUE, ORANGE, "#2f8f6b", "#8a4fa3")  # Of several curves.


def plain_log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, 300 and not 3×10², and have some on a short axis too."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    axis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)) if high > 10 * low else MaxNLocator(5)
    )
    axis.set_major_formatter("{x:.10g}")
    axis.set_minor_formatter("")


def cut(name: str, length: int) -> str:
    """Return a name of at most `length` characters, on one line, in which "$" starts no formula."""
    name = escape(name)
    return (name if len(name) <= length else name[: length - 1] + "…").replace("$", r"\$")


def plain(axes: "Axes", grid: Literal["both", "x"] = "both") -> None:
    """Leave out the frame, and draw a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)  # No grid over bars.
    axes.grid(axis=grid, alpha=0.2)
