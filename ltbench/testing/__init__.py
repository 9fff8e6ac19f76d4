"""What a plugin author's tests use: the contract suite of ``ltbench plugin test``, and a context without an engine.

A test of a plugin may be no more than this::

from ltbench.testing import FakeContext, check_dataset, check_fuser, check_method, contracts_of

@pytest.mark.parametrize("contract", contracts_of(Path(__file__).parents[1]), ids=str)
def test_all_that_the_package_registers(contract):
    contract.check()

def test_one_of_them():
    check_method(BalancedSoftmax, BalancedSoftmax.Config(tau=0.5))
"""

from ltbench.testing.contract_settings import ContractSettings
from ltbench.testing.contracts import Contract, contracts_of
from ltbench.testing.dataset_contract import check_dataset
from ltbench.testing.fake_context import FakeContext
from ltbench.testing.fuser_contract import check_fuser
from ltbench.testing.method_contract import check_method

__all__ = [
    "Contract",
    "ContractSettings",
    "FakeContext",
    "check_dataset",
    "check_fuser",
    "check_method",
    "contracts_of",
]
