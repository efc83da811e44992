"""Figures are checked by what is in them: data, labels, intervals, colours; no screen is needed."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from src import plots
from src.metrics import Interval
from src.workspace import STAGES

FIGURES = {
    "loss_curves": lambda: plots.loss_curves({"stage1_sft": [3.0, 2.0, 1.5], "stage3_lora": [3.0, 2.5, 2.2]}),
    "panels_of_lines": lambda: plots.panels_of_lines(
        [1, 2],
        {
            "reward": {"sampled": [[0.1, 2.0]]},
            "grade": {"sampled": [[0.1, 0.2], [0.2, 0.4]], "greedy": [0.5, 0.6]},
        },
        xlabel="step",
    ),
    "lines_with_bands": lambda: plots.lines_with_bands(
        [1, 10, 100], {"a": [[1, 2, 3], [2, 3, 4]], "b": [0, 1, 0]}, xlabel="steps", ylabel="gold", log_x=True
    ),
    "dot_intervals": lambda: plots.dot_intervals(
        {"base": {"cloze": Interval(0.9, 0.95, 0.97), "loops": 0.1}, "stage1_sft": {"cloze": (0.5, 0.6, 0.7)}}
    ),
    "dots_by_name": lambda: plots.dots_by_name(
        {"base": {"sky": 0.9, "jobs": 1.0}, "stage1_sft": {"sky": 0.2, "jobs": 0.7}}, xlabel="accuracy"
    ),
    "bars_by_group": lambda: plots.bars_by_group(
        {"seen": {"base": Interval(0, 0.1, 0.2), "stage1_sft": 0.5}, "new": {"base": 0.0}},
        ylabel="exact match",
    ),
    "heat_map": lambda: plots.heat_map(
        [[0.1, 0.9], [0.5, np.nan]], ["r1", "r2"], ["c1", "c2"], label="cosine", xlabel="asked"
    ),
    "levels_on_histogram": lambda: plots.levels_on_histogram(
        [-1.0, -0.1, 0.0, 0.2, 1.0], {"even": [-1, 0, 1], "normal": [-1, -0.3, 0.3, 1]}, xlabel="weight"
    ),
    "frontier": lambda: plots.frontier(
        {"PPO": [(0, 0.5, "start"), (1, 0.7)], "best-of-n": [(0, 0.5), (0.5, 0.6, 4)]},
        xlabel="√KL",
        ylabel="gold",
    ),
    "calibration": lambda: plots.calibration(
        {"model": [{"predicted": 0.9, "observed": 0.8, "count": 9, "low": 0.7, "high": 0.85}]}
    ),
    "stage_map": lambda: plots.stage_map(3),
}


@pytest.fixture(autouse=True)
def unchanged_defaults():
    with mpl.rc_context():
        yield


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_closed_labelled_small_and_byte_stable(name):
    before = dict(mpl.rcParams)
    figure = FIGURES[name]()
    assert isinstance(figure, Figure) and not plt.get_fignums()
    assert dict(mpl.rcParams) == before  # drawing changes no global default
    assert figure.get_dpi() == 100
    first = png(figure)
    assert first == png(FIGURES[name]()) and len(first) < 80_000
    if name != "stage_map":
        axes = figure.axes[0]
        assert axes.get_xlabel() or axes.get_ylabel()
        assert not axes.spines["top"].get_visible()


def test_stages_have_the_colours_that_colour_blind_readers_tell_apart():
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}
    greys = {code for code in plots.STAGE_COLOURS.values() if code[1:3] == code[3:5] == code[5:7]}
    assert {*plots.STAGE_COLOURS.values(), *plots.CYCLE} - greys == okabe_ito


def test_every_stage_has_its_own_colour_that_never_changes():
    assert {stage.name for stage in STAGES.values()} < set(plots.STAGE_COLOURS)
    assert len(set(plots.STAGE_COLOURS.values())) == len(plots.STAGE_COLOURS)
    alone = plots.colours_of(["stage3_lora"])["stage3_lora"]
    among = plots.colours_of(["other", "stage3_lora", "base"])
    assert alone == among["stage3_lora"] == plots.STAGE_COLOURS["stage3_lora"]
    assert among["other"] not in plots.STAGE_COLOURS.values()
    assert len(set(plots.colours_of(list("abcdefgh")).values())) == 8


def test_loss_curves_draw_histories_of_numbers_and_of_dicts():
    history = [{"step": 5, "loss": 2.0}, {"step": 10, "loss": 1.0, "kl": 0.1}, {"step": 15, "seconds": 3}]
    figure = plots.loss_curves({"stage1_sft": history, "base": [4.0, 3.0]})
    first, second = figure.axes[0].lines
    assert first.get_xydata().tolist() == [[5, 2], [10, 1]] and second.get_xydata().tolist() == [
        [1, 4],
        [2, 3],
    ]
    assert first.get_color() == plots.STAGE_COLOURS["stage1_sft"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["stage1_sft", "base"]
    assert plots.loss_curves({"a": history}, y="kl").axes[0].lines[0].get_xydata().tolist() == [[10, 0.1]]
    with pytest.raises(ValueError, match="history 'a' has no value of 'reward'"):
        plots.loss_curves({"a": history}, y="reward")


def test_bands_span_the_seeds_around_their_mean():
    axes = FIGURES["lines_with_bands"]().axes[0]
    assert axes.lines[0].get_ydata().tolist() == [1.5, 2.5, 3.5] and axes.get_xscale() == "log"
    assert len(axes.collections) == 1  # one seed has no band
    corners = axes.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 1 and corners[:, 1].max() == 4
    with pytest.raises(ValueError, match="a: 2 values for 3 positions"):
        plots.lines_with_bands([1, 2, 3], {"a": [1, 2]}, xlabel="x", ylabel="y")


def test_a_log_axis_names_its_few_settings():
    axes = FIGURES["lines_with_bands"]().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "100"]
    assert axes.get_xscale() == "log"


def test_dots_carry_their_intervals():
    figure = FIGURES["dot_intervals"]()
    cloze, loops = figure.axes
    assert (cloze.get_xlabel(), loops.get_xlabel()) == ("cloze", "loops")
    assert [label.get_text() for label in cloze.get_yticklabels()] == ["base", "stage1_sft"]
    bars = [container.lines[2][0].get_segments()[0] for container in cloze.containers]
    np.testing.assert_allclose([bar[:, 0] for bar in bars], [[0.9, 0.97], [0.5, 0.7]])
    assert len(loops.containers) == 1  # the missing value is a gap, not a zero


def test_bars_stand_in_their_groups_and_skip_what_is_missing():
    axes = FIGURES["bars_by_group"]().axes[0]
    heights = sorted(patch.get_height() for patch in axes.patches)
    assert heights == [0.0, 0.1, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["seen", "new"]
    assert all(round(patch.get_x() + patch.get_width() / 2) in (0, 1) for patch in axes.patches)


def test_a_long_legend_stands_beside_the_axes_and_a_single_bar_needs_none():
    many = plots.loss_curves({name: [2.0, 1.0] for name in "abcd"})
    assert not many.axes[0].get_legend() and len(many.legends[0].get_texts()) == 4
    lone = plots.bars_by_group({"one": {"x": 1.0}, "two": {"x": 2.0}}, ylabel="y")
    assert not lone.legends and not lone.axes[0].get_legend()
    assert len(FIGURES["bars_by_group"]().legends[0].get_texts()) == 2


def test_heat_map_writes_its_numbers_and_can_diverge():
    figure = FIGURES["heat_map"]()
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.10", "0.90", "0.50"]  # NaN stays empty
    image = plots.heat_map([[0.1, -0.5]], ["r"], ["a", "b"], label="x", centre=0.0).axes[0].images[0]
    assert image.get_clim() == (-0.5, 0.5)
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for 2 rows"):
        plots.heat_map([[1, 2]], ["a", "b"], ["c"], label="x")


def test_every_level_of_a_code_book_is_drawn_in_its_row():
    below = FIGURES["levels_on_histogram"]().axes[1]
    assert [len(lines.get_segments()) for lines in below.collections] == [3, 4]
    assert [label.get_text() for label in below.get_yticklabels()] == ["even", "normal"]


def test_frontier_keeps_the_order_and_writes_the_notes():
    axes = FIGURES["frontier"]().axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0, 0.5], [1, 0.7]]
    assert [text.get_text() for text in axes.texts] == ["start", "4"]


def test_frontier_bars_are_the_intervals_of_their_own_axis():
    axes = plots.frontier({"a": [((1.0, 2.0, 4.0), (0.5, 0.6, 0.65))]}, xlabel="x", ylabel="y").axes[0]
    across, up = (bars.get_segments()[0] for bars in axes.containers[0].lines[2])
    np.testing.assert_allclose(across, [[1.0, 0.6], [4.0, 0.6]])
    np.testing.assert_allclose(up, [[2.0, 0.5], [2.0, 0.65]])


def test_calibration_has_its_diagonal_and_intervals():
    axes = FIGURES["calibration"]().axes[0]
    diagonal = axes.lines[0].get_xydata()
    assert (diagonal[:, 0] == diagonal[:, 1]).all()
    segment = axes.containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(segment[:, 1], [0.7, 0.85])


@pytest.mark.parametrize("active", range(8))
def test_the_map_fills_exactly_the_active_stage(active):
    boxes = [text for text in plots.stage_map(active).axes[0].texts if text.get_text()]
    assert len(boxes) == 8
    filled = [number for number, box in enumerate(boxes) if box.get_weight() == "bold"]
    assert filled == [active]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="from 0 .base model. to 7, got 8"):
        plots.stage_map(8)
    for draw, what in ((plots.loss_curves, "histories"), (plots.dot_intervals, "table")):
        with pytest.raises(ValueError, match=f"{what} is empty"):
            draw({})
    assert not plt.get_fignums()


def test_the_course_style_is_installed_on_request():
    plots.use_course_style()
    assert mpl.rcParams["figure.figsize"] == [6.0, 3.5] and not mpl.rcParams["axes.spines.top"]


def test_stacked_bars_add_up_and_say_so():
    groups = {"full": {"weights": 500.0, "Adam": 1000.0}, "LoRA": {"weights": 510.0, "Adam": 12.5}}
    axes = plots.bars_by_group(groups, ylabel="MB", stacked=True).axes[0]
    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[1]]
    assert tops == [1500.0, 522.5]
    assert [text.get_text() for text in axes.texts] == ["1,500", "522"]


def test_bright_is_good_also_where_low_is_good():
    brightness = []
    for low_is_good in (False, True):
        image = plots.heat_map([[0.0, 1.0]], ["r"], ["a", "b"], label="x", low_is_good=low_is_good).axes[0].images[0]  # fmt: skip
        brightness.append([sum(image.to_rgba(value)[:3]) for value in (0.0, 1.0)])
    assert brightness[0][1] > brightness[0][0] and brightness[1][0] > brightness[1][1]


def test_a_place_in_a_ranking_has_no_half():
    table = {"a": {"place": (1, 1, 2), "win rate": 0.7}, "b": {"place": (1, 2, 2), "win rate": 0.3}}
    places = plots.dot_intervals(table).axes[0].get_xticks()
    assert all(place == int(place) for place in places)


def test_lora_has_its_colour_at_every_rate():
    colours = plots.colours_of(["LoRA 0.003", "QLoRA 0.003", "full 0.001", "full 0.01", "other"])
    assert colours["LoRA 0.003"] == plots.STAGE_COLOURS["stage3_lora"]
    assert colours["full 0.001"] == colours["full 0.01"] == plots.METHODS["full"]
    assert colours["QLoRA 0.003"] == plots.colours_of(["QLoRA", "base"])["QLoRA"] == plots.METHODS["QLoRA"]
    assert len({colours[name] for name in ("LoRA 0.003", "QLoRA 0.003", "full 0.001", "other")}) == 4


def test_a_model_keeps_its_colour_under_every_name():
    names = ["SFT", "recommended", "v2", "best-of-n", "DPO", "cheating invited"]
    colours = plots.colours_of(names)
    assert (
        colours["SFT"] == plots.colours_of(["KL-SFT"])["KL-SFT"] == plots.STAGE_COLOURS["improved_training"]
    )
    assert colours["recommended"] == plots.STAGE_COLOURS["rlhf_training"]
    assert len({colours[name] for name in names}) == len(names)
    assert (
        plots.colours_of(["plain SFT"])["plain SFT"] == plots.colours_of(["plain_sft", "base"])["plain_sft"]
    )


def test_runs_of_one_colour_differ_by_line():
    lines = plots.loss_curves({"full 0.1": [3, 2], "full 0.2": [3, 1], "LoRA 0.1": [3, 2]}).axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-"]


def test_notes_leave_the_dots_free():
    """Two dots close together: neither note lies on the other dot."""
    figure = plots.frontier({"a": [(0, 0), (1, 1, "first"), (1.02, 1.04, "second"), (2, 2)]}, xlabel="x", ylabel="y")  # fmt: skip
    axes = figure.axes[0]
    figure.canvas.draw()
    dots = axes.transData.transform([(1, 1), (1.02, 1.04)])
    notes = [text for text in axes.texts if text.get_text() in ("first", "second")]
    assert len(notes) == 2
    assert not any(note.get_window_extent().contains(*dot) for note in notes for dot in dots)


def test_four_panels_stand_two_by_two():
    figure = plots.panels_of_lines([0, 8, 16], {name: {"r": [1, 2, 3]} for name in "abcd"}, xlabel="step")
    assert {axes.get_subplotspec().rowspan.start for axes in figure.axes} == {0, 1}
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())
