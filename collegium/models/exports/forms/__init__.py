"""Forms of a released model for other software: a MONAI bundle, torch.export, ONNX, int8.

``network`` builds the model and the inputs that every form is compared on; no patient gave them.
``form`` is what all have in common, and ``registry`` lists them.
"""
