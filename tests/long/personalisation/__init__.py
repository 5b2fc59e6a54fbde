"""MR-MTL under privacy beside training alone and FedAvg, on hospitals that differ."""
