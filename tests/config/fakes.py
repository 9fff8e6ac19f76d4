"""Methods, fusers and a dataset that have settings and can do nothing, and plugins made of them."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ltbench.data.base import Dataset
from ltbench.fuser import Fuser, FuserConfig
from ltbench.method import Method, MethodConfig
from ltbench.plugin import Spec
from ltbench.registry.lookup import PluginRecord
from ltbench.registry.manager import Plugins
from ltbench.training.optim import OptimConfig


class Idle(Method):
    def build(self, context: Any) -> Any:
        raise NotImplementedError

    def fit(self, context: Any, members: Any) -> None:
        raise NotImplementedError


class Base(Idle):
    class Config(MethodConfig):
        optim: OptimConfig = OptimConfig(epochs=100, patience=15)


class Split(Idle):
    class Config(MethodConfig):
        ratio: int = Field(16, ge=1)
        blocks: int | Literal["all"] | list[int] = "all"
        share: float = Field(0.5, gt=0, lt=1)
        mode: Literal["reject", "zero"] = "reject"
        pair: tuple[int, int] = (1, 2)
        subset: dict[str, OptimConfig] = Field({})
        optim: OptimConfig = OptimConfig(epochs=60)


class Variant(Idle):
    class Config(MethodConfig):
        gamma: float = 2.0
        optim: OptimConfig = OptimConfig()


class Narrow(Idle):
    class Config(MethodConfig):
        strength: float = 1.0


class Needy(Idle):
    class Config(MethodConfig):
        low: int = 0
        high: int

        @model_validator(mode="after")
        def _ordered(self) -> "Needy.Config":
            if self.low >= self.high:
                raise ValueError(f"low {self.low} must be below high {self.high}")
            return self


class Silent(Fuser):
    def fuse(self, members: Any) -> Any:
        raise NotImplementedError


class Mean(Silent):
    class Config(FuserConfig):
        weight: float = 1.0


class Scale(Silent):
    class Config(FuserConfig):
        l2: float = Field(1e-3, ge=0)


class Letters(Dataset):
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        classes: int = Field(100, ge=2)
        difficulty: float = 1.0

    class_names: Any = ()
    fingerprint: Any = ""

    def split(self, name: str) -> Any:
        raise NotImplementedError


def target(cls: type) -> str:
    return f"{cls.__module__}:{cls.__name__}"


def registered(specs: Iterable[Spec], distribution: str = "tests", into: Plugins | None = None) -> Plugins:
    """Plugins that provide these, and nothing that is installed."""
    found = into or Plugins()
    record = PluginRecord("fakes", distribution, "1", "fakes")
    for spec in specs:
        {"method": found.methods, "fuser": found.fusers, "dataset": found.datasets}[spec.kind].add(spec, record)
    return found
