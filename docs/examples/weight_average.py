"""The average of the weights along the training (Polyak and Juditsky 1992; Izmailov et al. 2018), which is validated and kept.

An average with a decay is a setting of any method: --set METHOD.optim.ema=0.999. Here its decay follows from the length of the
training: it remembers the last tenth of all steps.

ltbench --plugin docs/examples/weight_average.py run --method averaged
"""

from collections.abc import Iterator

from pydantic import Field

from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.request import Training


class Averaged(OneClassifier):
    class Config(OneClassifier.Config):
        memory: float = Field(0.1, gt=0, le=1, description="share of the steps that the average remembers")

    def training(self) -> Training:
        arguments = super().training()
        optim, samples = arguments["optim"], len(self.context.train_split)
        steps = optim.planned_epochs(samples) * samples / optim.batch_size
        decay = 1 - 1 / max(2.0, self.config.memory * steps)
        return {**arguments, "optim": optim.model_copy(update={"ema": decay, "ema_warmup": True})}


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "averaged",
        target="weight_average:Averaged",
        summary="The baseline, of which a moving average of the weights is kept.",
        paper="Izmailov et al. 2018",
        recipe="baseline",
    )
