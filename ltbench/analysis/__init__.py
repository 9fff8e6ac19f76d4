"""The paper's analyses as pure functions on logits: numbers in, plain dataclasses with ``to_dict()`` out, no plotting.

``oracle`` (Sec. 4.2), ``leave_one_out`` (Figure 3), ``expert_confusion`` (Figure 4), ``confidence`` (Figure 5).
"""
