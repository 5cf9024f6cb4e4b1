"""The text that LiteRT's profiler writes."""

from edge_pipeline.runtimes.litert_profiler import parse_summary

COLUMNS = "[node type]    [start]    [first]   [avg ms]        [%]     [cdf%]   [mem KB] [times called]   [Name]"
DELEGATED = f"""\
========== Run Order ===========
        {COLUMNS}
             Delegate/Static Reshape (NC)      0.000      0.000      0.000  0.000%  0.000%  0.000  20 [Delegate]:0
   Delegate/Convolution (NHWC, F32) IGEMM      0.000      0.030      0.024    53.274%    53.274%  0.000  20 [Delegate]:1
  Delegate/Fully Connected (NC, F32) GEMM      0.000      0.000      1.250    46.726%   100.000%  0.000  20 [Delegate]:2

============================================= Top by Computation Time ==============================================
        {COLUMNS}
  Delegate/Fully Connected (NC, F32) GEMM      0.000      0.000      1.250    46.726%    46.726%  0.000  20 [Delegate]:2

Number of nodes executed: 3
=============================================== Summary by node type ===============================================
                              [Node type]    [count]   [avg ms]    [avg %]    [cdf %]   [mem KB] [times called]
   Delegate/Convolution (NHWC, F32) IGEMM          1      0.015   100.000%   100.000%      0.000             60
"""
MIXED = f"""\
========== Run Order ===========
        {COLUMNS}
        GELU      0.000      0.001      0.002     1.000%     1.000%  0.000  20 [Builtin]:5
        TfLiteXNNPackDelegate      0.000      0.050      0.045    50.000%    51.000%  0.000  20 [a;b]:7
   Delegate/Convolution (NHWC, F32) IGEMM      0.000      0.040      0.040    40.000%    91.000%  0.000  20 [Delegate]:0
"""
WHOLE = f"""\
========== Run Order ===========
        {COLUMNS}
        TfLiteXNNPackDelegate      0.000      0.050      0.045   100.000%   100.000%  0.000  20 [out]:7
"""

TWO_PARTS = f"""\
========== Run Order =====================================================
        {COLUMNS}
        Delegate/GELU (NC)      0.000      0.000      0.000     0.000%     0.000%  0.000  5 [Delegate]:0
        CUMSUM      0.000      0.001      0.001    60.000%    60.000%  0.000  5 [Builtin]:5
        Delegate/Sine (NC)      0.000      0.000      0.000     0.000%    60.000%  0.000  5 [Delegate]:0
"""


def test_operators_are_read_in_the_order_they_run_with_their_mean_times() -> None:
    assert parse_summary(DELEGATED) == [
        {"name": "XNNPACK:0", "type": "Static Reshape (NC)", "compute_unit": "cpu", "time_ms": 0.0},
        {"name": "XNNPACK:1", "type": "Convolution (NHWC, F32) IGEMM", "compute_unit": "cpu", "time_ms": 0.024},
        {"name": "XNNPACK:2", "type": "Fully Connected (NC, F32) GEMM", "compute_unit": "cpu", "time_ms": 1.25},
    ]


def test_an_operator_outside_the_delegate_keeps_its_own_name() -> None:
    first = parse_summary(MIXED)[0]
    assert (first["name"], first["type"], first["time_ms"]) == ("[Builtin]:5", "GELU", 0.002)


def test_the_delegate_as_a_whole_is_left_out_where_its_operators_are_listed() -> None:
    assert [layer["type"] for layer in parse_summary(MIXED)] == ["GELU", "Convolution (NHWC, F32) IGEMM"]


def test_the_delegate_as_a_whole_is_kept_where_nothing_else_is_known_of_it() -> None:
    assert [(layer["type"], layer["time_ms"]) for layer in parse_summary(WHOLE)] == [("TfLiteXNNPackDelegate", 0.045)]


def test_tables_of_several_subgraphs_are_joined() -> None:
    assert len(parse_summary(DELEGATED + WHOLE.replace("TfLiteXNNPackDelegate", "ADD"))) == 4


def test_text_without_a_table_has_no_operators() -> None:
    assert parse_summary("") == []
    assert parse_summary("nothing was profiled\n") == []


def test_operators_of_two_parts_of_the_graph_have_names_of_their_own() -> None:
    names = [layer["name"] for layer in parse_summary(TWO_PARTS)]
    assert len(names) == len(set(names)) == 3
