"""`.nn` and `.onnx` policy files: read, check and run them."""
