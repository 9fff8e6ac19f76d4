"""What a plugin author's tests use: the contract suite of ``ltbench plugin test``, and a context without an engine.

A test of a plugin may be no more than this::

    from ltbench.testing import check_fuser, check_method

    def test_contract():
        check_fuser(Median)
        check_method(BalancedSoftmax)
"""

from ltbench.testing.fake_context import FakeContext
from ltbench.testing.method_contract import check_method
from ltbench.testing.suite import check_fuser

__all__ = ["FakeContext", "check_fuser", "check_method"]
