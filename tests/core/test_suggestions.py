from edge_pipeline.core.errors import ConfigError, suggest


def test_the_closest_name_is_suggested() -> None:
    assert suggest("onx", ["tflite", "onnx"]) == "did you mean 'onnx'?"


def test_all_names_are_listed_in_order_when_none_is_close() -> None:
    assert suggest("xyz", ["tflite", "onnx"]) == "valid names: onnx, tflite"


def test_no_names_at_all_is_said() -> None:
    assert suggest("xyz", []) == "no names are defined"


def test_a_configuration_error_counts_and_lists_its_problems() -> None:
    error = ConfigError(["first", "second"])
    assert error.problems == ("first", "second")
    assert str(error) == "2 problems in the configuration; nothing was run:\n  - first\n  - second"


def test_one_problem_is_not_called_problems() -> None:
    assert str(ConfigError(["only"])).startswith("1 problem in")
