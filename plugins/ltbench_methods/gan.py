"""GAN: features of Medium- and Few-shot classes drawn from f-VAEGAN-D2 (Sec. 4.4 iv; Xian et al., CVPR 2019).

Encoder, generator and critic see features x, scaled to [0, 1], together with the embedding c of their class. In the
notation of Xian et al., with the signs of losses that are minimised:

    L_VAE    = KL(q(z|x,c) || N(0, I)) - E_q[log p(x|z,c)]
    L_WGAN   = E[D1(x~,c)] - E[D1(x,c)] + lambda E[(||grad D1(x^,c)|| - 1)^2]        minimised by D1
    L_VAEGAN = L_VAE - gamma E[D1(x~,c)]                                             minimised by encoder and generator

x~ = G(z,c) with z ~ N(0, I), and x^ is a random point between x and x~ (Gulrajani et al. 2017). D2 is a second critic,
without c, for unlabelled features. As in reference codes, the generator ends in a sigmoid and -log p is binary cross
entropy. Batches are class-balanced: with instance-balanced ones Few-shot classes collapsed (PROTOCOL 5).
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassBalancedSampler
from ltbench.errors import DataError
from ltbench.method import Member, MethodConfig, MethodContext
from ltbench_methods.synthetic import SyntheticFeatures

LEAKY_SLOPE = 0.2
WEIGHT_DEVIATION = 0.02
BETAS = (0.5, 0.999)
"""Of Adam."""

ROUND = 100
"""Generator steps that a killed run may have to do again, and between two lines of the log."""


class GenerativeConfig(MethodConfig):
    """How f-VAEGAN-D2 is built and trained."""

    hidden: int = Field(
        default=512,
        ge=1,
        description="hidden width of all networks; beware of the paper's 4096 without a GPU: 0.25 s a step and more",
    )
    steps: int = Field(default=700, ge=1, description="generator steps")
    batch_size: int = Field(default=128, ge=1, description="features a step, class-balanced")
    lr: float = Field(default=1e-3, gt=0, description="Adam's learning rate; 1e-4 learned no conditioning in 700 steps")
    critic_steps: int = Field(default=5, ge=1, description="critic steps before each generator step")
    critic_weight: float = Field(default=10.0, ge=0, description="gamma, weight of D1 in the generator's loss")
    penalty: float = Field(default=10.0, ge=0, description="lambda, weight of the gradient penalty")
    unlabelled_weight: float = Field(
        default=0.0,
        ge=0,
        description="weight of D2 in the generator's loss; D2 judges against features of the validation images, whose "
        "labels it does not see (test images are out of reach); 0: no D2",
    )


class GAN(SyntheticFeatures):
    """Synthetic features are G(z, c) with z ~ N(0, I)."""

    class Config(SyntheticFeatures.Config):
        class_embeddings: Path | None = Field(
            default=None,
            description="safetensors file with one tensor float[C, E], e.g. word vectors; default: the weights of the "
            "baseline's classifier. L2-normalised either way",
        )
        generative: GenerativeConfig = Field(
            default=GenerativeConfig(), description="how the generative model is built and trained"
        )

    def synthesise(self, context: MethodContext, baseline: Member, features: Tensor, labels: Tensor) -> Tensor:
        weights = baseline.head.get_parameter("weight").detach()
        embeddings, source = class_embeddings(self.config.class_embeddings, weights.cpu())
        context.log(class_embeddings=source, width=embeddings.shape[1])
        low, high = features.amin(dim=(0, 1)), features.amax(dim=(0, 1))
        extent = (high - low).clamp(min=torch.finfo(features.dtype).tiny)
        config = self.config.generative
        unlabelled = context.features(baseline.backbone, "val")[0] if config.unlabelled_weight else features[0, :0]
        initial = context.generator("generative model")
        model = FVAEGAN(features.shape[2], embeddings.shape[1], config.hidden, len(unlabelled) > 0, initial)
        training = Training(
            model.to(weights.device),
            config,
            features=(features - low) / extent,
            labels=context.train_split.labels,
            embeddings=embeddings,
            # A unit may fire here that is silent on every training image: its extent is next to nothing.
            unlabelled=((unlabelled - low) / extent).clamp(0, 1),
        )
        training.run(context)
        generator = context.generator("synthetic features")
        drawn = [model.draw(embeddings[labels], generator) for _ in features]
        return torch.stack(drawn) * extent + low


def class_embeddings(path: Path | None, classifier: Tensor) -> tuple[Tensor, str]:
    """c of every class, L2-normalised float32[C, E], and where it comes from.

    Args:
        path: safetensors file with one tensor float[C, E]; None: ``classifier``.
        classifier: float[C, D], weights of the baseline's classifier.

    Raises:
        DataError: the file cannot be read or does not hold that.
    """
    if path is None:
        return F.normalize(classifier, dim=1), "the baseline's classifier weights"
    try:
        tensors = list(load_file(path).values())
    except (OSError, SafetensorError) as error:
        raise DataError(f"class_embeddings {path} cannot be read as safetensors: {error}.") from error
    if len(tensors) != 1:
        raise DataError(f"class_embeddings {path} holds {len(tensors)} tensors; it must hold one, float[C, E].")
    (values,) = tensors
    if values.ndim != 2 or len(values) != len(classifier) or not values.is_floating_point():
        kind = f"{values.dtype}{list(values.shape)}".removeprefix("torch.")
        raise DataError(
            f"class_embeddings {path} is {kind}; it must be float[{len(classifier)}, E], a row for each class."
        )
    if not values.isfinite().all():
        raise DataError(f"class_embeddings {path} holds NaN or infinity.")
    return F.normalize(values.float(), dim=1), str(path)


class Perceptron(nn.Sequential):
    """Two fully connected layers on the concatenation of its inputs float[B, .]."""

    def __init__(self, inputs: int, hidden: int, outputs: int, generator: Generator) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.LeakyReLU(LEAKY_SLOPE), nn.Linear(hidden, outputs))
        for name, values in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(values)
            else:
                nn.init.normal_(values, std=WEIGHT_DEVIATION, generator=generator)

    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(torch.cat(inputs, dim=1))


class FVAEGAN(nn.Module):
    """The networks. Features x float[B, D] in [0, 1], class embeddings c float[B, E], noise z float[B, E].

    Attributes:
        encoder: (x, c) -> mean and log variance of q(z|x,c), side by side, float[B, 2E].
        generator: (z, c) -> logits of x, float[B, D].
        critic: D1, (x, c) -> float[B, 1].
        unconditional_critic: D2, x -> float[B, 1]; None without unlabelled features.
    """

    def __init__(self, features: int, embedding: int, hidden: int, unconditional: bool, generator: Generator) -> None:
        super().__init__()
        self.encoder = Perceptron(features + embedding, hidden, 2 * embedding, generator)
        self.generator = Perceptron(2 * embedding, hidden, features, generator)
        self.critic = Perceptron(features + embedding, hidden, 1, generator)
        self.unconditional_critic = Perceptron(features, hidden, 1, generator) if unconditional else None

    def synthetic(self, c: Tensor, generator: Generator) -> Tensor:
        """x~ = G(z, c), z ~ N(0, I): float[B, D] in [0, 1]."""
        return self.generator(normal(c.shape, generator, c.device), c).sigmoid()

    @torch.no_grad()
    def draw(self, c: Tensor, generator: Generator) -> Tensor:
        """The same without gradients, in parts, on the CPU, for any number of rows."""
        device = next(self.parameters()).device
        return torch.cat([self.synthetic(part.to(device), generator).cpu() for part in c.split(8192)])


def vae_loss(model: FVAEGAN, x: Tensor, c: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of L_VAE, each summed over its units and averaged over the batch: (-E_q[log p], KL).

    Args:
        noise: float[B, E] from N(0, I), z = mean + deviation * noise.
    """
    mean, log_variance = model.encoder(x, c).chunk(2, dim=1)
    logits = model.generator(mean + (0.5 * log_variance).exp() * noise, c)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    # In closed form: Kingma & Welling 2014, Appendix B.
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(x)
    return reconstruction, kl


def critic_loss(
    critic: Callable[[Tensor], Tensor], real: Tensor, synthetic: Tensor, mix: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """L_WGAN and, for the log, the critic's estimate E[D(x)] - E[D(x~)] of the Wasserstein distance.

    Args:
        critic: float[B, D] -> float[B, 1].
        real, synthetic: x and x~, float[B, D].
        mix: float[B, 1] in [0, 1], share of x in x^.
        penalty: lambda.
    """
    between = (mix * real + (1 - mix) * synthetic).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    distance = critic(real).mean() - critic(synthetic).mean()
    return penalty * (gradient.norm(dim=1) - 1).square().mean() - distance, distance.detach()


class Training:
    """Alternates critic and generator steps.

    Args:
        model: trained in place, on its device.
        features: float[V, N, D] in [0, 1].
        labels: int64[N].
        embeddings: float[C, E].
        unlabelled: float[M, D] for D2, on the same scale; M = 0 for a model without it.
    """

    def __init__(
        self,
        model: FVAEGAN,
        config: GenerativeConfig,
        *,
        features: Tensor,
        labels: Tensor,
        embeddings: Tensor,
        unlabelled: Tensor,
    ) -> None:
        self.model, self.config = model, config
        self.features, self.labels, self.embeddings, self.unlabelled = features, labels, embeddings, unlabelled
        self.device = next(model.parameters()).device
        self.generator = Generator()
        critics = nn.ModuleList(filter(None, [model.critic, model.unconditional_critic]))
        of_generator = [*model.encoder.parameters(), *model.generator.parameters()]
        self.of_critics = torch.optim.Adam(critics.parameters(), config.lr, BETAS)
        self.of_generator = torch.optim.Adam(of_generator, config.lr, BETAS)

    def run(self, context: MethodContext) -> None:
        """Train for ``config.steps`` generator steps, in rounds of 100; each round draws from a stream of its own."""
        steps, done = self.config.steps, 0
        kept: dict[str, nn.Module | torch.optim.Optimizer]
        kept = {"model": self.model, "of_critics": self.of_critics, "of_generator": self.of_generator}
        with context.progress("generative model", steps) as advance:
            for part in context.rounds("generative model", -(-steps // ROUND), kept):
                while done < part.number * ROUND:  # by an earlier attempt
                    advance()
                    done += 1
                self.generator = context.generator(f"generative model, round {part.number}")
                batches = self._batches()
                for _ in range(min(ROUND, steps - done)):
                    terms = self._step(batches)
                    advance()
                    done += 1
                part.log({"step": done, **{name: round(float(value), 4) for name, value in terms.items()}})

    def _step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Some critic steps and a generator step; its terms, for the log."""
        for _ in range(self.config.critic_steps):
            loss, distance = self._critic_loss(*next(batches))
            _descend(self.of_critics, loss)
        x, c = next(batches)
        reconstruction, kl = vae_loss(self.model, x, c, normal(c.shape, self.generator, self.device))
        _descend(self.of_generator, reconstruction + kl + self._deception_loss(c))
        return {"reconstruction": reconstruction.detach(), "kl": kl.detach(), "wasserstein": distance}

    def _critic_loss(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """L_WGAN of D1, plus that of D2 where there is one; and D1's distance."""
        first, second, penalty = self.model.critic, self.model.unconditional_critic, self.config.penalty
        with torch.no_grad():
            synthetic = self.model.synthetic(c, self.generator)
        loss, distance = critic_loss(lambda features: first(features, c), x, synthetic, self._mix(x), penalty)
        if second is not None:
            chosen = torch.randint(len(self.unlabelled), (len(x),), generator=self.generator)
            real = self.unlabelled[chosen].to(self.device)
            loss = loss + critic_loss(second, real, synthetic, self._mix(x), penalty)[0]
        return loss, distance

    def _deception_loss(self, c: Tensor) -> Tensor:
        """What the generator loses by its features being told from real ones."""
        synthetic = self.model.synthetic(c, self.generator)
        loss = -self.config.critic_weight * self.model.critic(synthetic, c).mean()
        if self.model.unconditional_critic is not None:
            loss = loss - self.config.unlabelled_weight * self.model.unconditional_critic(synthetic).mean()
        return loss

    def _mix(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 1, generator=self.generator).to(self.device)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, c), class-balanced, each sample in a random view, without end."""
        sampler = ClassBalancedSampler(self.labels)
        for epoch in itertools.count():
            for chosen in sampler.indices(epoch, self.generator).split(self.config.batch_size):
                view = torch.randint(len(self.features), (len(chosen),), generator=self.generator)
                c = self.embeddings[self.labels[chosen]]
                yield self.features[view, chosen].to(self.device), c.to(self.device)


def normal(shape: torch.Size, generator: Generator, device: torch.device) -> Tensor:
    """N(0, I), drawn on the CPU: the same numbers whatever the device."""
    return torch.randn(shape, generator=generator).to(device)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
