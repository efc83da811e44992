"""Every figure of the course in one style: few kinds of plot, the same colour for the same stage everywhere.

All notebooks draw through this module. Colours are those of Okabe & Ito (2008), which people with
colour-blind vision can tell apart, and a few of the same kind where a figure needs more; intervals are drawn where they are given. Every function returns a
closed matplotlib `Figure`: it is shown by being the last value of a cell (or by `display`), saved by
`run.figure`, and needs no screen.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from src.workspace import STAGES

SIZE = (6.0, 3.5)  # inches; at 100 dpi a figure weighs some 30 KB in a notebook
STYLE = {
    "figure.figsize": SIZE,
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
STAGE_COLOURS = {
    "base": "#666666",
    "stage1_sft": "#E69F00",
    "stage2_instruction": "#56B4E9",
    "stage3_lora": "#009E73",
    "evaluation": "#999999",
    "analysis": "#BBBBBB",
    "improved_training": "#0072B2",
    "rlhf_training": "#D55E00",
}
METHODS = {
    "full": "#000000", "QLoRA": "#8C564B", "plain SFT": "#CC79A7", "plain_sft": "#CC79A7",
    "v2": "#000000", "v3": "#56B4E9", "higher rate": "#CC79A7", "lower rate": "#CC79A7", "cheating invited": "#882255",
    "best-of-n": "#8C564B", "DPO": "#E69F00", "SFT, cooler": "#44AA99",
}  # fmt: skip
OTHERS = ("#CC79A7", "#000000", "#8C564B", "#882255")  # for whatever is neither a stage nor a method above
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vP*X"  # shape repeats what colour says, for black-and-white prints


def use_course_style() -> None:
    """Make the style the default of this process, for figures drawn by hand in a notebook."""
    mpl.rcParams.update({**STYLE, "axes.prop_cycle": mpl.cycler(color=CYCLE)})


ALIASES = {  # what a figure may call a stage
    "base model": "base",
    "LoRA": "stage3_lora",
    "SFT": "improved_training",
    "KL-SFT": "improved_training",
    "recommended": "rlhf_training",
}


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour per name: a stage or method always has its own; without any among them, the Okabe-Ito cycle."""
    known = STAGE_COLOURS | METHODS | {alias: STAGE_COLOURS[stage] for alias, stage in ALIASES.items()}
    of_rates = ("LoRA", "QLoRA", "full")  # "LoRA 0.003" is LoRA too
    known |= {name: known[m] for name in names for m in of_rates if name.startswith(f"{m} ")}
    if not any(name in known for name in names):
        return {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(names)}
    taken = {known[name] for name in names if name in known}
    free = [colour for colour in OTHERS if colour not in taken]
    rest = [name for name in names if name not in known]
    return known | {name: free[i % len(free)] for i, name in enumerate(rest)}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the course's style whatever the current one; close the figure, or it is shown twice."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        before = plt.get_fignums()
        with mpl.rc_context(STYLE):
            try:
                return draw(*args, **kwargs)
            finally:
                for number in set(plt.get_fignums()) - set(before):
                    plt.close(number)

    return styled


def _need(values, what: str) -> None:
    if not len(values):
        raise ValueError(f"{what} is empty: there is nothing to draw")


def _label(axes: Axes, x: str, y: str, title: str = "") -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left")


def _legend(axes: Axes) -> None:
    """Inside for up to three lines, else beside the axes, off the data; none for a single series of bars."""
    entries = axes.get_legend_handles_labels()[1]
    bars = bool(axes.patches)
    if len(entries) > 3 or (bars and len(entries) > 1):
        axes.figure.legend(loc="outside right upper")
    elif not bars:
        axes.legend()


def _bounds(point) -> tuple[float, float, float]:
    """(low, value, high) of an interval, of a (low, value, high) triple, or of a bare number."""
    if hasattr(point, "value"):
        return point.low, point.value, point.high
    return tuple(point) if isinstance(point, Sequence | np.ndarray) else (float("nan"), point, float("nan"))


def _error(points: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Values, and their distances to both ends as `errorbar` wants them: shapes (n,), (2, n)."""
    low, value, high = np.array([_bounds(point) for point in points], dtype=float).T
    return value, np.nan_to_num(np.vstack([value - low, high - value])).clip(min=0)


@_styled
def loss_curves(
    histories: Mapping[str, Sequence],
    *,
    y: str = "loss",
    label: str = "loss (nats a token)",
    title: str = "",
) -> Figure:
    """One line per run; a history lists numbers, or dicts with "step" and `y` (as `SFTResult` has)."""
    _need(histories, "histories")
    figure, axes = plt.subplots()
    drawn: list[str] = []  # runs of one method share its colour: then the line style tells them apart
    for (name, colour), marker in zip(_in_order(histories), MARKERS * len(histories), strict=False):
        style = ("-", "--", ":", "-.")[drawn.count(colour) % 4]
        drawn.append(colour)
        rows = [row for row in histories[name] if not isinstance(row, Mapping) or y in row]
        if not rows:
            raise ValueError(f"history {name!r} has no value of {y!r}")
        dicts = isinstance(rows[0], Mapping)
        steps = [row["step"] for row in rows] if dicts else range(1, len(rows) + 1)
        few = len(rows) <= 12  # epochs, not steps: show where was measured
        values = [row[y] for row in rows] if dicts else rows
        dot = marker if few else None
        axes.plot(steps, values, color=colour, label=name, marker=dot, markersize=4, linestyle=style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label(axes, "training step", label, title)
    _legend(axes)
    return figure


def _in_order(named: Mapping[str, object]) -> list[tuple[str, str]]:
    colours = colours_of(list(named))
    return [(name, colours[name]) for name in named]


@_styled
def lines_with_bands(
    x: Sequence[float],
    runs: Mapping[str, Sequence],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log_x: bool = False,
) -> Figure:
    """Mean over seeds, band from the lowest to the highest; `runs[name]`: (seeds, len(x)) or (len(x),)."""
    _need(runs, "runs")
    figure, axes = plt.subplots()
    for (name, colour), marker in zip(_in_order(runs), MARKERS * len(runs), strict=False):
        _band(axes, x, runs[name], name, colour, marker)
    axes.set_xscale("log" if log_x else "linear")
    if log_x and len(x) <= 8:  # few settings: name them, not the powers of ten
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
    _label(axes, xlabel, ylabel, title)
    _legend(axes)
    return figure


def _band(axes, x: Sequence[float], runs, name: str, colour: str, marker: str) -> None:
    """Mean over `runs`, (seeds, len(x)) or (len(x),), with a band from the lowest to the highest."""
    values = np.atleast_2d(np.asarray(runs, dtype=float))
    if values.shape[1] != len(x):
        raise ValueError(f"{name}: {values.shape[1]} values for {len(x)} positions on the x axis")
    axes.plot(x, values.mean(0), color=colour, marker=marker, markersize=4, label=name)
    if len(values) > 1:
        axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)


@_styled
def panels_of_lines(
    x: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence]],
    *,
    xlabel: str,
    title: str = "",
    marker: str | None = None,
) -> Figure:
    """`lines_with_bands` side by side, for measures of different units over one x: `panels[ylabel][name]`.

    `marker=""` leaves the dots out, for long lines. Four panels stand two by two: in one row a page shrinks them.
    """
    _need(panels, "panels")
    rows, columns = (2, 2) if len(panels) == 4 else (1, len(panels))
    size = (3.9 * columns, (SIZE[1] - 0.4) * rows * (0.85 if rows > 1 else 1))
    figure, all_axes = plt.subplots(rows, columns, squeeze=False, figsize=size)
    colours = colours_of(list(dict.fromkeys(name for runs in panels.values() for name in runs)))
    for axes, (ylabel, runs) in zip(all_axes.flat, panels.items(), strict=True):
        for name, shape in zip(runs, MARKERS * len(runs), strict=False):
            _band(axes, x, runs[name], name, colours[name], shape if marker is None else marker)
        if all(float(value).is_integer() for value in x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _label(axes, xlabel, ylabel)
        if len(runs) > 1:
            axes.legend()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


@_styled
def dot_intervals(
    table: Mapping[str, Mapping[str, object]], *, title: str = "", zero: bool = False
) -> Figure:
    """A dot with its 95 % interval for every model (rows) and metric (panels); a bare number gets no bar.

    `table[model][metric]` is an `Interval`, a (low, value, high) triple or a number; a missing one leaves a
    gap.
    """
    _need(table, "table")
    metrics = list(dict.fromkeys(metric for row in table.values() for metric in row))
    _need(metrics, "table")
    size = (max(SIZE[0], 1.2 + 1.6 * len(metrics)), max(2.0, 0.9 + 0.32 * len(table)))
    figure, panels = plt.subplots(1, len(metrics), sharey=True, squeeze=False, figsize=size)
    for axes, metric in zip(panels[0], metrics, strict=True):
        for place, (model, colour) in enumerate(_in_order(table)):
            if metric in table[model]:
                value, error = _error([table[model][metric]])
                axes.errorbar(value, [place], xerr=error, fmt="o", color=colour, markersize=6, elinewidth=2)
        if zero:  # a difference is read against 0
            axes.axvline(0, color="#333333", linewidth=1.0, linestyle="--", zorder=1)
        axes.set_xlabel(metric)
        axes.grid(visible=False, axis="y")
        values = [_error([row[metric]])[0][0] for row in table.values() if metric in row]
        whole = all(float(value).is_integer() for value in values)  # a place in a ranking has no half
        # labels of neighbouring panels must not touch
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=whole))
    panels[0][0].set_yticks(range(len(table)), list(table))
    panels[0][0].set_ylim(len(table) - 0.5, -0.5)  # the first model on top
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


@_styled
def dots_by_name(
    runs: Mapping[str, Mapping[str, float]],
    *,
    xlabel: str,
    ylabel: str = "",
    title: str = "",
    limits: tuple | None = None,
) -> Figure:
    """A row per name, a dot per run, joined by a line: what each name had before and what it has after.

    `runs[run][name]` is a number; the rows are in the order of the first run's values, the largest on top.
    """
    _need(runs, "runs")
    first = next(iter(runs.values()))
    _need(first, "runs")
    names = sorted(first, key=first.get)
    figure, axes = plt.subplots(figsize=(SIZE[0], max(2.0, 0.9 + 0.21 * len(names))))
    for place, name in enumerate(names):
        values = [run[name] for run in runs.values() if name in run]
        axes.plot([min(values), max(values)], [place, place], color="#BBBBBB", linewidth=1.2, zorder=1)
    for (run, colour), marker in zip(_in_order(runs), MARKERS * len(runs), strict=False):
        at = [place for place, name in enumerate(names) if name in runs[run]]
        axes.scatter([runs[run][names[i]] for i in at], at, color=colour, marker=marker, s=28, label=run)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(limits)
    _label(axes, xlabel, ylabel, title)
    if len(runs) > 1:
        figure.legend(loc="outside right upper")
    return figure


@_styled
def bars_by_group(
    groups: Mapping[str, Mapping[str, object]],
    *,
    ylabel: str,
    xlabel: str = "",
    title: str = "",
    stacked: bool = False,
) -> Figure:
    """Bars side by side; `groups[group][series]`: an `Interval`, a (low, value, high) triple or a number.

    `stacked` puts a group's series, all numbers, on top of one another and writes their sum above.
    """
    _need(groups, "groups")
    series = list(dict.fromkeys(name for row in groups.values() for name in row))
    _need(series, "groups")
    figure, axes = plt.subplots(figsize=(max(SIZE[0], 1.0 + 0.25 * len(groups) * (len(series) + 1)), SIZE[1]))
    if stacked:
        _stack(axes, groups, series)
        _label(axes, xlabel, ylabel, title)
        _legend(axes)
        return figure
    width = 0.8 / len(series)
    for number, (name, colour) in enumerate(_in_order(dict.fromkeys(series))):
        at = [place for place, row in enumerate(groups.values()) if name in row]
        value, error = _error([row[name] for row in groups.values() if name in row])
        shift = (number - (len(series) - 1) / 2) * width
        axes.bar(
            np.array(at) + shift, value, width * 0.92, yerr=error, color=colour, label=name, ecolor="#333333"
        )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.grid(visible=False, axis="x")
    _label(axes, xlabel, ylabel, title)
    _legend(axes)
    return figure


def _stack(axes, groups: Mapping[str, Mapping[str, float]], series: Sequence[str]) -> None:
    """One bar a group, cut into its series, with the sum above."""
    below = np.zeros(len(groups))
    for name, colour in _in_order(dict.fromkeys(series)):
        heights = np.array([float(row.get(name, 0)) for row in groups.values()])
        axes.bar(range(len(groups)), heights, 0.55, bottom=below, color=colour, label=name)
        below += heights
    for place, height in enumerate(below):
        axes.text(place, height, f"{height:,.0f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)  # room for the sums


@_styled
def heat_map(
    matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    digits: int = 2,
    centre: float | None = None,
    low_is_good: bool = False,
) -> Figure:
    """A matrix with its numbers written in, bright where it is good; with `centre` colours diverge from there; NaN
    stays empty."""
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"matrix has shape {matrix.shape} for {len(rows)} rows and {len(columns)} columns")
    if not np.isfinite(matrix).any():
        raise ValueError("matrix has no finite value: there is nothing to draw")
    low, high = np.nanmin(matrix), np.nanmax(matrix)
    if centre is not None:
        reach = max(high - centre, centre - low) or 1.0
        low, high = centre - reach, centre + reach
    size = (max(SIZE[0], 2.2 + 0.55 * len(columns)), max(2.2, 1.2 + 0.34 * len(rows)))
    figure, axes = plt.subplots(figsize=size)
    plain = "cividis_r" if low_is_good else "cividis"
    colours = plt.get_cmap(plain if centre is None else "PuOr_r")
    image = axes.imshow(matrix, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            dark = np.dot(image.to_rgba(value)[:3], (0.299, 0.587, 0.114)) < 0.5  # perceived brightness
            ink = "white" if dark else "black"
            axes.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=ink, fontsize=8)
    long = max(map(len, columns)) > 8
    axes.set_xticks(
        range(len(columns)), list(columns), rotation=30 if long else 0, ha="right" if long else "center"
    )
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(visible=False)
    _label(axes, xlabel, ylabel, title)
    figure.colorbar(image, ax=axes, label=label)
    return figure


@_styled
def levels_on_histogram(
    values, levels: Mapping[str, Sequence[float]], *, xlabel: str, title: str = ""
) -> Figure:
    """How `values` are distributed and, below, the few levels that each code book has to represent them with."""
    _need(levels, "levels")
    figure, (top, below) = plt.subplots(2, 1, sharex=True, height_ratios=(4, 0.5 + 0.5 * len(levels)))
    top.hist(np.asarray(values).ravel(), bins=120, density=True, color="#BBBBBB")
    for place, (name, colour) in enumerate(_in_order(levels)):
        below.vlines(levels[name], place - 0.35, place + 0.35, color=colour, linewidth=1.8)
    below.set_yticks(range(len(levels)), list(levels))
    below.set_ylim(len(levels) - 0.4, -0.6)
    below.grid(visible=False)
    _label(top, "", "density", title)
    _label(below, xlabel, "")
    return figure


@_styled
def frontier(
    points: Mapping[str, Sequence], *, xlabel: str, ylabel: str, title: str = "", connect: bool = True
) -> Figure:
    """What is paid (x) for what is gained (y): one line per method, its settings written beside the dots.

    `points[name]` is a list of (x, y) or (x, y, note); x and y are numbers or intervals, whose ends are then
    drawn. Lines run in the order given (a path, such as training).
    """
    _need(points, "points")
    figure, axes = plt.subplots()
    notes, dots = [], []
    for (name, colour), marker in zip(_in_order(points), MARKERS * len(points), strict=False):
        _need(points[name], f"points[{name!r}]")
        (x, x_error), (y, y_error) = (_error([point[axis] for point in points[name]]) for axis in (0, 1))
        line = "-" if connect else "none"  # an empty format string would mean the default line
        axes.plot(x, y, linestyle=line, color=colour, marker=marker, markersize=5, label=name)
        axes.scatter(x, y, color=colour, marker=marker, s=25, zorder=4)  # above the notes' white boxes
        dots += list(zip(x, y, strict=True))
        if x_error.any() or y_error.any():
            axes.errorbar(
                x, y, xerr=x_error, yerr=y_error, fmt="none", ecolor=colour, elinewidth=1.2, alpha=0.6
            )
        notes += [
            (str(point[2]), (x[place], y[place]), colour)
            for place, point in enumerate(points[name])
            if len(point) > 2 and point[2]
        ]
    _label(axes, xlabel, ylabel, title)
    _legend(axes)
    _write_notes(axes, notes, dots)
    return figure


def _write_notes(
    axes, notes: Sequence[tuple[str, tuple[float, float], str]], dots: Sequence[tuple[float, float]]
) -> None:
    """Write (text, point, colour) beside the points: each at the first place around its point that is inside and free
    of other notes and of all `dots`."""
    axes.figure.canvas.draw()  # only a drawn figure knows how large its texts are
    around = [(dx, dy) for dy in (4, -11, 14, -21, 24, -31) for dx in (5, -5)]
    at = axes.transData.transform(dots) if len(dots) else []
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in at]
    for text, point, colour in notes:
        for dx, dy in around:
            note = axes.annotate(
                text, point, xytext=(dx, dy), textcoords="offset points", ha="left" if dx > 0 else "right", fontsize=8, color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},  # lines pass behind it
            )  # fmt: skip
            box = note.get_window_extent()
            inside = (
                axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and axes.bbox.containsy(box.y1)
            )
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (dx, dy) != around[-1]:
                note.remove()
        taken.append(note.get_window_extent())


@_styled
def calibration(curves: Mapping[str, Sequence[Mapping[str, float]]], *, title: str = "") -> Figure:
    """Stated probability against observed frequency; on the diagonal a model is as right as it says it is.

    A curve is a list of dicts with `predicted`, `observed`, `count`, and optionally `low` and `high`; the
    area of a dot grows with its count.
    """
    _need(curves, "curves")
    figure, axes = plt.subplots(figsize=(4.2, 3.8))
    ends = [
        value for rows in curves.values() for row in rows for value in (row["predicted"], row["observed"])
    ]
    low = max(0.0, min([*ends, 0.5]) - 0.05)
    axes.plot([low, 1], [low, 1], "--", color="#999999", linewidth=1.2, label="perfectly calibrated")
    for name, colour in _in_order(curves):
        rows = sorted(curves[name], key=lambda row: row["predicted"])
        _need(rows, f"curves[{name!r}]")
        x, counts = [row["predicted"] for row in rows], np.array([row["count"] for row in rows], dtype=float)
        y, error = _error(
            [(row.get("low", np.nan), row["observed"], row.get("high", np.nan)) for row in rows]
        )
        axes.errorbar(x, y, yerr=error, color=colour, label=name, elinewidth=1.2)
        axes.scatter(x, y, s=15 + 60 * counts / counts.max(), color=colour, zorder=3)
    _label(axes, "stated probability", "observed frequency", title)
    _legend(axes)
    return figure


@_styled
def stage_map(active: int) -> Figure:
    """Where we are: the pipeline with the notebook number `active` (0 = the base model) filled in."""
    if active not in range(len(STAGES) + 1):
        raise ValueError(
            f"active must be a notebook number from 0 (base model) to {len(STAGES)}, got {active}"
        )
    x_of = {0: 0.0, 1: 1.45, 2: 1.45, 3: 1.45, 4: 2.9, 5: 4.35, 6: 5.8, 7: 7.25}
    y_of = {1: 0.75, 2: 0.0, 3: -0.75}
    names = ["base", *(stage.name for stage in STAGES.values())]
    figure, axes = plt.subplots(figsize=(8.2, 2.0))
    for number, name in enumerate(names):
        x, y, here = x_of[number], y_of.get(number, 0.0), number == active
        colour = STAGE_COLOURS[name]
        text = "base\nmodel" if number == 0 else f"{number:02d} " + name.split("_", 1)[0] + _second_line(name)
        box = {
            "boxstyle": "round,pad=0.35",
            "edgecolor": colour,
            "facecolor": colour if here else "white",
            "lw": 1.6,
        }
        weight, ink = ("bold", "white") if here else ("normal", "#333333")
        axes.text(
            x, y, text, ha="center", va="center", fontsize=8, color=ink, weight=weight, bbox=box, zorder=3
        )
    weights, results = [(0, 1), (0, 2), (0, 3), (6, 7)], [(1, 4), (2, 4), (3, 4), (4, 5), (5, 6)]
    for start, end in weights + results:
        ends = [(x_of[n] + side, y_of.get(n, 0.0)) for n, side in ((start, 0.5), (end, -0.55))]
        style = {
            "arrowstyle": "->",
            "color": "#777777",
            "lw": 1.0,
            "ls": "-" if (start, end) in weights else ":",
        }
        axes.annotate("", ends[1], ends[0], arrowprops=style)
    below = {
        "arrowstyle": "->",
        "color": "#777777",
        "lw": 1.0,
        "connectionstyle": "arc,angleA=-90,angleB=-90,armA=56,armB=56,rad=8",
    }
    axes.annotate("", (x_of[6], -0.38), (x_of[0], -0.38), arrowprops=below)  # 06 starts from the base again
    figure.text(
        0.4,
        0.01,
        "solid: weights are handed on; dotted: only results",
        ha="center",
        fontsize=7,
        color="#777777",
    )
    axes.set(xlim=(-0.6, 7.9), ylim=(-1.6, 1.2))
    axes.axis("off")
    return figure


def _second_line(name: str) -> str:
    rest = name.split("_", 1)[1:]
    return f"\n{rest[0]}" if rest else ""
