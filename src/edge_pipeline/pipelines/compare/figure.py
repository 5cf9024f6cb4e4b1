"""Latency against accuracy of all targets of a model."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

MARKERS = {"host": "o", "ssh": "s", "adb": "D", "aihub": "P", "htp_emulator": "^"}
"""One marker per kind of device."""


def comparison_figure(table: Any) -> Figure | None:
    """Draw median latency (ms) against accuracy (%) of each target.

    Those on the Pareto front of their device are filled and joined by a dotted line. The front counts memory too.

    Args:
        table: the data frame of `comparison_table`.

    Returns:
        The figure, or `None` where no target has both numbers.
    """
    drawn = table[table["accuracy"].notna() & table["latency_p50_ms"].notna()]
    if drawn.empty:
        return None
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (device, rows) in enumerate(drawn.groupby("device", sort=False)):
        colour, kind = f"C{number % 10}", rows["device_kind"].iloc[0]
        x, y = rows["latency_p50_ms"].astype(float), 100 * rows["accuracy"].astype(float)
        faces = [colour if one else "none" for one in rows["pareto"]]
        axes.scatter(x, y, s=50, marker=MARKERS.get(kind, "X"), edgecolors=colour, facecolors=faces, zorder=3)
        front = rows[rows["pareto"].astype(bool)].sort_values("latency_p50_ms")
        axes.plot(front["latency_p50_ms"], 100 * front["accuracy"], color=colour, linewidth=0.8, linestyle=":")
        axes.scatter([], [], s=50, marker=MARKERS.get(kind, "X"), color=colour, label=f"{device} ({kind or '?'})")
        for name, left, bottom in zip(rows["runtime"] + "/" + rows["precision"], x, y, strict=True):
            axes.annotate(name, (left, bottom), (0, 7), textcoords="offset points", fontsize=7, rotation=60)
    if drawn["latency_p50_ms"].max() > 10 * drawn["latency_p50_ms"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15)
    low, high = 100 * drawn["accuracy"].min(), 100 * drawn["accuracy"].max()
    room = max(0.5, 0.25 * (high - low))
    axes.set_ylim(low - room, high + room)
    axes.set_xlabel("median latency (ms)")
    axes.set_ylabel("accuracy (%)")
    axes.grid(alpha=0.3)
    axes.scatter([], [], s=50, marker="o", edgecolors="k", facecolors="none", label="not on the Pareto front")
    figure.legend(fontsize=8, loc="outside upper center", ncols=3)
    return figure
