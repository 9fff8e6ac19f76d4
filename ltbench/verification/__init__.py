"""Whether a record is what its logits give: recomputation, installed plugins, reports of stages."""
