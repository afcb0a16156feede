"""An ensemble -> one file that other programs run: ONNX, OpenVINO or torch.export."""
