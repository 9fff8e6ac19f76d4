"""Which runs the rows need: one for each distinct set of overrides, with all methods and fusers that its rows use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ltbench.engine.planning import evaluations_of
from ltbench.errors import UsageError
from ltbench.plan import NO_FUSER, Evaluation
from ltbench.registry.lookup import none_installed
from ltbench.registry.manager import plugins
from ltbench.reproduction.spec import RowSpec
from ltbench.settings.layers import parse_override
from ltbench.settings.recipe_files import companions_of, control_fusers, dependency_order
from ltbench.settings.recipes import FIELDS, Resolved, resolve
from ltbench.settings.request import Request


@dataclass(frozen=True)
class Job:
    """Rows that one run of the engine serves: they have the same overrides, and share its dataset, backbone and stages.

    Attributes:
        rows: by id; all of them are installed.
        methods, fusers: what they use, in the order of the rows.
        overrides: the user's, then the rows' own.
    """

    rows: dict[str, RowSpec]
    methods: tuple[str, ...]
    fusers: tuple[str, ...]
    overrides: tuple[str, ...]
    asked: Request

    @property
    def label(self) -> str:
        own = next(iter(self.rows.values())).set
        return "+".join(self.methods) + (f" with {', '.join(own)}" if own else "")

    def resolve(self, seed: int | None) -> Resolved:
        """The settings of the run. Raises as :func:`ltbench.settings.recipes.resolve`."""
        said = {**vars(self.asked), "overrides": self.overrides}
        return resolve(methods=self.methods, fusers=self.fusers, seed=seed, **said)

    def evaluations(self, resolved: Resolved) -> dict[str, Evaluation]:
        """Row id -> its posterior, in the role that it has in any other run."""
        roles = {(one.methods, one.fuser): one.role for one in evaluations_of(resolved)}
        return {
            name: Evaluation(row.methods, row.fuser, roles.get((row.methods, row.fuser), "run"))
            for name, row in self.rows.items()
            if not row.analysis
        }


def missing_plugins(row: RowSpec) -> list[str]:
    """Names of its methods and its fuser that no plugin registers."""
    known = {*plugins().methods.names(), *plugins().fusers.names(), NO_FUSER}
    return [name for name in (*row.methods, row.fuser) if name not in known]


def jobs(rows: Mapping[str, RowSpec], asked: Request) -> list[Job]:
    """The runs for these rows, those without overrides first; rows that are not installed are left out.

    Raises:
        UsageError: a malformed override, or one of a method or fuser that no run has.
    """
    groups: dict[tuple[str, ...], dict[str, RowSpec]] = {}
    for name, row in sorted(rows.items(), key=lambda item: bool(item[1].set)):
        if not missing_plugins(row):
            groups.setdefault(row.set, {})[name] = row
    made = [_job(own, group, asked) for own, group in groups.items()]
    for text in asked.overrides:
        if made and not any(text in job.overrides for job in made):
            raise UsageError(f"--set {text}: no run of these targets has that method or fuser.")
    return made


def any_job(asked: Request) -> Job:
    """A run of some method, for what asks about the dataset alone. Raises UsageError where no method is installed."""
    names = plugins().methods.names()
    if not names:
        raise UsageError(none_installed("method"))
    return _job((), {"": RowSpec(label="", methods=(names[0],))}, asked)


def _job(own: tuple[str, ...], rows: dict[str, RowSpec], asked: Request) -> Job:
    methods = _each_once(name for row in rows.values() for name in row.methods)
    fusers = _each_once(row.fuser for row in rows.values() if row.fuser != NO_FUSER)
    taking_part = {*dependency_order([*methods, *companions_of(methods)[0]]), *fusers, *control_fusers()}
    known = {*plugins().methods.names(), *plugins().fusers.names()}
    # resolve() refuses a section that takes no part in its run; here another run may be meant. Unknown names it shall see.
    about = [text for text in asked.overrides if not (_section(text) in known and _section(text) not in taking_part)]
    return Job(rows, methods, fusers, (*about, *own), asked)


def _section(override: str) -> str:
    name = next(iter(parse_override(override).values))
    return "" if name in FIELDS else name


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
