"""`kedro edge hub serve`, as a script of Qualcomm AI Hub's client uses it."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np, qai_hub
job = qai_hub.submit_inference_job("model.onnx", qai_hub.Device("host"), {"x": [np.full((1, 2), 3, np.float32)]},
                                   profile=False)
print("answer", job.download_output_data()["y"][0].tolist())
"""


@pytest.mark.slow
def test_a_script_runs_a_model_on_a_device_of_the_project(project, needs):
    needs("qai_hub")
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 2)) for name in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"], name="neg")], "g", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), project.root / "model.onnx")

    process = project.start("edge", "hub", "serve", "--port", "0")
    try:
        printed = project.until(process, "verbose = True")
        assert printed.count("api_token = ") == 1 and "Devices: host\n" in printed
        project.write("client.ini", "[api]\n" + printed.partition("[api]\n")[2])
        project.write("script.py", SCRIPT)
        environment = project.environment(QAIHUB_CLIENT_INI=str(project.root / "client.ini"))
        ran = subprocess.run(
            [sys.executable, "script.py"],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "answer [[-3.0, -3.0]]" in ran.stdout, ran.stdout + ran.stderr
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0, rest
        assert "The hub has ended." in rest and "Traceback" not in rest
    finally:
        process.kill()
    token = printed.partition("api_token = ")[2].split()[0]
    assert (project.root / "data" / "hub" / "token").read_text() == token
    assert token not in rest


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_message(project, needs):
    needs("qai_hub")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        project.kedro("edge", "hub", "serve", "--port", port).refused(f"cannot listen at 127.0.0.1, port {port}")
