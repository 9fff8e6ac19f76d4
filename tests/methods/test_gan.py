"""GAN: its losses against the formulas, and whether the generator learns the distribution of each class."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ltbench_methods.gan import FVAEGAN, GAN, GenerativeConfig, Training, class_embeddings, critic_loss, vae_loss
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ltbench.errors import DataError
from ltbench.testing import FakeContext

from .drawn import long_tailed, on_features

FEATURES, EMBEDDING, BATCH = 4, 3, 5


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def leaky(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 0.2 * values)


def by_the_formulas(network: nn.Module, *inputs: Tensor) -> np.ndarray:
    """A fully connected layer, LeakyReLU of slope 0.2 and another layer, on the inputs side by side."""
    first, first_bias, second, second_bias = (p.detach().double().numpy() for p in network.parameters())
    joined = np.concatenate([values.double().numpy() for values in inputs], axis=1)
    return leaky(joined @ first.T + first_bias) @ second.T + second_bias


def test_vae_loss_is_that_of_the_formulas() -> None:
    model = FVAEGAN(FEATURES, EMBEDDING, hidden=6, unconditional=False, generator=seeded())
    for parameter in model.parameters():  # weights of 0.02 would leave every term near that of zeros
        nn.init.normal_(parameter, std=0.5, generator=seeded(1))
    x, c = torch.rand(BATCH, FEATURES, generator=seeded(2)), torch.randn(BATCH, EMBEDDING, generator=seeded(3))
    noise = torch.randn(BATCH, EMBEDDING, generator=seeded(4))
    with torch.no_grad():
        reconstruction, kl = vae_loss(model, x, c, noise)

    mean, log_variance = np.split(by_the_formulas(model.encoder, x, c), 2, axis=1)
    deviation = np.sqrt(np.exp(log_variance))
    z = mean + deviation * noise.double().numpy()
    p = 1 / (1 + np.exp(-by_the_formulas(model.generator, torch.from_numpy(z), c)))
    real = x.double().numpy()
    cross_entropy = -(real * np.log(p) + (1 - real) * np.log(1 - p))
    assert float(reconstruction) == pytest.approx(cross_entropy.sum() / BATCH, rel=1e-5)
    # KL(N(m, s) || N(0, 1)) by integration over a grid, unit by unit.
    grid = np.linspace(-60, 60, 400_001)
    expected = 0.0
    for m, s in zip(mean.flatten(), deviation.flatten(), strict=True):
        log_q = -0.5 * ((grid - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
        log_prior = -0.5 * grid**2 - 0.5 * math.log(2 * math.pi)
        expected += np.trapezoid(np.exp(log_q) * (log_q - log_prior), grid)
    assert float(kl) == pytest.approx(expected / BATCH, rel=1e-4)


@pytest.fixture
def points() -> dict[str, Tensor]:
    """x, x~ and the mix of them."""
    return {
        "real": torch.randn(BATCH, FEATURES, generator=seeded(1)),
        "synthetic": torch.randn(BATCH, FEATURES, generator=seeded(2)),
        "mix": torch.rand(BATCH, 1, generator=seeded(3)),
    }


def test_critic_loss_of_a_linear_critic(points: dict[str, Tensor]) -> None:
    slope = torch.tensor([1.0, -2.0, 0.5, 3.0], requires_grad=True)
    loss, distance = critic_loss(lambda x: (x @ slope)[:, None], **points, penalty=10)
    loss.backward()

    w, shift = slope.detach().numpy(), (points["real"].mean(dim=0) - points["synthetic"].mean(dim=0)).numpy()
    norm = np.linalg.norm(w)  # the gradient is w everywhere
    assert float(distance) == pytest.approx(float(w @ shift), rel=1e-5)
    assert float(loss.detach()) == pytest.approx(10 * (norm - 1) ** 2 - w @ shift, rel=1e-5)
    # The critic learns from the penalty, too.
    np.testing.assert_allclose(slope.grad, 20 * (norm - 1) * w / norm - shift, rtol=1e-4)


def test_gradient_penalty_is_taken_between_real_and_synthetic(points: dict[str, Tensor]) -> None:
    matrix = torch.randn(FEATURES, FEATURES, generator=seeded(4))
    quadratic = matrix + matrix.T
    loss, distance = critic_loss(lambda x: 0.5 * ((x @ quadratic) * x).sum(dim=1, keepdim=True), **points, penalty=3)

    x, synthetic, mix = (points[name].double().numpy() for name in ("real", "synthetic", "mix"))
    a = quadratic.double().numpy()
    value = [0.5 * np.mean([row @ a @ row for row in rows]) for rows in (x, synthetic)]
    norms = [np.linalg.norm(a @ (m * r + (1 - m) * s)) for m, r, s in zip(mix, x, synthetic, strict=True)]
    assert float(distance) == pytest.approx(value[0] - value[1], rel=1e-4)
    assert float(loss.detach()) == pytest.approx(
        3 * np.mean((np.array(norms) - 1) ** 2) - (value[0] - value[1]), rel=1e-4
    )


def test_weights_start_small_and_biases_at_zero() -> None:
    model = FVAEGAN(64, 32, hidden=128, unconditional=True, generator=seeded())
    for name, values in model.named_parameters():
        if name.endswith("bias"):
            assert not values.any()
        elif len(values) > 1:
            assert float(values.detach().std()) == pytest.approx(0.02, rel=0.05)


COUNTS = torch.tensor([120, 60, 30, 15, 8])
WIDTH = 16
DEVIATIONS = torch.linspace(0.5, 1.5, WIDTH)


class Mixture:
    """A long-tailed Gaussian mixture, one component a class, and a generative model trained on it."""

    def __init__(self, seed: int = 0, unlabelled: Tensor | None = None, **config: Any) -> None:
        generator = seeded(seed)
        self.labels = torch.arange(len(COUNTS)).repeat_interleave(COUNTS)
        means = 2 * torch.randn(len(COUNTS), WIDTH, generator=generator)
        self.embeddings = F.normalize(torch.randn(len(COUNTS), WIDTH, generator=generator), dim=1)
        noise = DEVIATIONS * torch.randn(len(self.labels), WIDTH, generator=generator)
        self.features = means[self.labels] + noise
        self.low, self.extent = self.features.amin(dim=0), self.features.amax(dim=0) - self.features.amin(dim=0)
        self.means = torch.stack([self.features[self.labels == label].mean(dim=0) for label in range(len(COUNTS))])
        settings = GenerativeConfig(
            **{"hidden": 256, "steps": 700, "batch_size": 64, "lr": 2e-3, "critic_weight": 20, **config}
        )
        others = self.features[:0] if unlabelled is None else unlabelled
        self.model = FVAEGAN(WIDTH, WIDTH, settings.hidden, unlabelled is not None, generator)
        training = Training(
            self.model,
            settings,
            features=((self.features - self.low) / self.extent)[None],
            labels=self.labels,
            embeddings=self.embeddings,
            unlabelled=(others - self.low) / self.extent,
        )
        training.run(on_features(self.features[None], self.labels))

    def drawn(self, label: int) -> Tensor:
        """500 synthetic features of a class."""
        c = self.embeddings[label].expand(500, -1)
        return self.model.draw(c, seeded(label)) * self.extent + self.low

    def distances(self) -> Tensor:
        """From the synthetic to the training mean of each class, in units of the classes' mean distance from their centre."""
        found = torch.stack([self.drawn(label).mean(dim=0) for label in range(len(COUNTS))])
        return (found - self.means).norm(dim=1) / (self.means - self.means.mean(dim=0)).norm(dim=1).mean()

    def variances(self) -> Tensor:
        """Variance of the synthetic features of each class over the true one."""
        found = torch.stack([self.drawn(label).var(dim=0).sum() for label in range(len(COUNTS))])
        return found / DEVIATIONS.square().sum()


def test_the_generator_learns_the_mean_and_the_spread_of_every_class() -> None:
    trained = Mixture(seed=1)
    assert trained.distances().max() < 0.5
    assert 0.3 < trained.variances().mean() < 1.5
    assert trained.variances().min() > 0.2


def test_without_the_critic_there_is_no_spread() -> None:
    trained = Mixture(critic_weight=0, steps=300, critic_steps=1)
    assert trained.distances().max() < 0.7
    assert trained.variances().max() < 0.1


def test_the_unconditional_critic_draws_synthetic_features_to_the_unlabelled_ones() -> None:
    elsewhere = 3 + torch.randn(200, WIDTH, generator=seeded(9))
    short = partial(Mixture, steps=60, hidden=64)
    off = [
        float((trained.drawn(0).mean(dim=0) - elsewhere.mean(dim=0)).norm())
        for trained in (short(), short(unlabelled=elsewhere, unlabelled_weight=100))
    ]
    assert off[1] < 0.7 * off[0]


def test_the_same_seed_gives_the_same_features_and_another_gives_others() -> None:
    first, again, other = (Mixture(seed, steps=3, hidden=16).drawn(0) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_killed_generative_training_ends_as_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltbench_methods.gan.ROUND", 2)
    features, labels = long_tailed([120, 30, 3])
    generative = GenerativeConfig(hidden=8, steps=7, batch_size=16, unlabelled_weight=1)

    def synthetic(context: FakeContext) -> Tensor:
        method = GAN(GAN.Config(generative=generative, target=40, views=1))
        method.fit(context, method.build(context))
        return context.trained[-1]["features"]

    expected = synthetic(on_features(features, labels, val_features=features))
    context = on_features(features, labels, val_features=features)
    context.interrupt_before = 2
    with pytest.raises(KeyboardInterrupt):
        synthetic(context)
    context.interrupt_before = None
    context.logged.clear()
    assert torch.equal(synthetic(context), expected)
    assert [entry["step"] for entry in context.logged if "step" in entry] == [6, 7]


def gan_on(
    features: Tensor, labels: Tensor, *, unlabelled: Tensor | None = None, unlabelled_weight: float = 0, **config: Any
) -> FakeContext:
    """The context of a short training of gan on these features."""
    generative = GenerativeConfig(
        hidden=8, steps=10, batch_size=16, critic_steps=1, unlabelled_weight=unlabelled_weight
    )
    method = GAN(GAN.Config(generative=generative, target=40, **config))
    context = on_features(features, labels, val_features=unlabelled)
    method.fit(context, method.build(context))
    return context


def test_synthetic_features_lie_within_the_range_of_the_real_ones() -> None:
    features, labels = long_tailed([120, 30, 3], views=2)
    features[..., 0] = 7.0  # a unit that never changes
    trained = gan_on(features, labels, views=2).trained[-1]["features"]
    synthetic = trained[:, 153:]
    assert synthetic.shape == (2, 10 + 37, 3)
    assert torch.equal(synthetic[..., 0], torch.full((2, 47), 7.0))
    low, high = features.amin(dim=(0, 1)), features.amax(dim=(0, 1))
    assert ((synthetic >= low) & (synthetic <= high)).all()
    assert not torch.equal(synthetic[0], synthetic[1])


def test_validation_features_take_part_only_when_asked_for() -> None:
    features, labels = long_tailed([120, 30, 3])
    features[..., 0] = 0.0
    elsewhere = features + 1  # with a unit that fires on no training image
    drawn = [
        gan_on(features, labels, unlabelled=unlabelled, unlabelled_weight=weight).trained[-1]["features"]
        for unlabelled, weight in ((features, 0), (elsewhere, 0), (features, 1), (elsewhere, 1))
    ]
    assert all(values.isfinite().all() for values in drawn)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[2], drawn[3])


def test_embeddings_come_from_the_baselines_classifier() -> None:
    weights = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    found, source = class_embeddings(None, weights)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert source == "the baseline's classifier weights"


def test_embeddings_from_a_file_are_used_and_named_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    save_file({"glove": torch.randn(3, 7, generator=seeded()).half()}, path)
    context = gan_on(*long_tailed([120, 30, 3]), class_embeddings=path)
    assert {"class_embeddings": str(path), "width": 7} in context.logged
    norms = class_embeddings(path, torch.zeros(3, 2))[0].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(3))


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"a": torch.zeros(4, 7)}, r"is float32\[4, 7\]; it must be float\[3, E\], a row for each class\."),
        ({"a": torch.zeros(3)}, r"is float32\[3\]; it must be float\[3, E\]"),
        ({"a": torch.zeros(3, 7, dtype=torch.int64)}, r"is int64\[3, 7\]; it must be float\[3, E\]"),
        ({"a": torch.zeros(3, 7), "b": torch.zeros(3, 7)}, "holds 2 tensors; it must hold one"),
        ({"a": torch.full((3, 7), torch.nan)}, "holds NaN or infinity"),
    ],
    ids=["classes", "vector", "integers", "two tensors", "nan"],
)
def test_an_embedding_file_of_another_kind_is_refused(
    tmp_path: Path, tensors: dict[str, Tensor], complaint: str
) -> None:
    path = tmp_path / "words.safetensors"
    save_file(tensors, path)
    with pytest.raises(DataError, match=complaint) as caught:
        class_embeddings(path, torch.zeros(3, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"word 0.1 0.2\n"], ids=["missing", "text"])
def test_an_embedding_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"words\.txt cannot be read as safetensors: .+") as caught:
        class_embeddings(path, torch.zeros(3, 2))
    assert "\n" not in str(caught.value)
