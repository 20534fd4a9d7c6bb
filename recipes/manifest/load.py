"""The manifests of a project, by name: read, typed, checked, and each loaded once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from recipes.core.errors import UsageError
from recipes.core.filesystem import storage_errors
from recipes.core.invocation import corrected
from recipes.manifest.advisory_checks import advisory_problems, standing_problems
from recipes.manifest.component_checks import component_problems
from recipes.manifest.decode import Problem, any_of, closest, parse, refuse_first, unknown
from recipes.manifest.image_checks import image_problems
from recipes.manifest.model_checks import model_problems
from recipes.manifest.policy import Policy
from recipes.manifest.recipe_checks import (
    defaults_problems,
    name_problem,
    patch_file_problems,
    recipe_problems,
    toolchain_problems,
)
from recipes.manifest.schema import (
    Advisory,
    AnyManifest,
    Component,
    Components,
    Defaults,
    ImageBase,
    Model,
    Recipe,
    Toolchain,
    json_schema,
)
from recipes.manifest.strict_yaml import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recipes.manifest.schema import Platform

PROJECT = Path(__file__).resolve().parents[2]
SCHEMAS: dict[str, type[AnyManifest | Policy]] = {
    "recipe": Recipe,
    "toolchain": Toolchain,
    "components": Components,
    "model": Model,
    "advisory": Advisory,
    "defaults": Defaults,
    "image": ImageBase,
    "policy": Policy,
}

_BY_HAND = "add what the package index states for the file, once you have compared it with a second source"


class Manifests:
    """All manifests of one project, loaded when they are asked for."""

    def __init__(self, project: Path = PROJECT, own_models: Path | None = None) -> None:
        self.project = project
        self.own_models = own_models  # a folder of the user's, outside the project
        self.root = project / "manifests"
        self.patches = project / "patches"
        self._recipes: dict[str, Recipe] = {}
        self._toolchains: dict[str, Toolchain] = {}
        self._components: dict[str, Components] = {}
        self._models: dict[str, Model] = {}
        self._advisories: dict[str, Advisory] | None = None
        self._defaults: Defaults | None = None

    def recipe_names(self) -> tuple[str, ...]:
        """Return the name of every recipe, sorted."""
        return _names(self.root / "recipes")

    def toolchain_names(self) -> tuple[str, ...]:
        """Return the name of every toolchain, sorted."""
        return _names(self.root / "toolchains")

    def model_names(self) -> tuple[str, ...]:
        """Return the name of every model, the user's own too, sorted."""
        own = _names(self.own_models) if self.own_models else ()
        return tuple(sorted({*_names(self.root / "models"), *own}))

    def recipe(self, name: str) -> Recipe:
        """Return a recipe; raises as `load_recipe` does.

        This and the methods below raise UsageError where there is no manifest of that name.
        """
        if name not in self._recipes:
            fix = partial(corrected, "--recipe", default="build")
            path = self._path("recipes", name, self.recipe_names(), "--recipe", fix)
            self._recipes[name] = load_recipe(path, self)
        return self._recipes[name]

    def platform(self, recipe: Recipe, name: str) -> Platform:
        """Return a platform of a recipe."""
        if name not in recipe.platforms:
            correct = partial(corrected, "--platform", default=f"build --recipe {recipe.name}")
            _refuse_name("--platform", name, tuple(recipe.platforms), correct)
        return recipe.platforms[name]

    def toolchain(self, name: str) -> Toolchain:
        """Return a toolchain; raises as `load_toolchain`."""
        if name not in self._toolchains:
            path = self._path(
                "toolchains",
                name,
                self.toolchain_names(),
                "a toolchain's name",
                lambda _, right: f"ask for `{right}`",
            )
            self._toolchains[name] = load_toolchain(path, self)
        return self._toolchains[name]

    def components_names(self) -> tuple[str, ...]:
        """Return the name of every table of components, sorted."""
        return _names(self.root / "components")

    def components(self, name: str) -> Components:
        """Return a table of components; raises as `load_components`."""
        if name not in self._components:
            where, known = "a table's name", self.components_names()
            path = self._path("components", name, known, where, lambda _, right: f"ask for `{right}`")
            self._components[name] = load_components(path, self)
        return self._components[name]

    def model(self, name: str) -> Model:
        """Return a model; raises as `load_model`."""
        if name not in self._models:
            fix = partial(corrected, "--model", default="serve")
            self._path("models", name, self.model_names(), "the model's name", fix)
            self._models[name] = load_model(self.model_path(name), self)
        return self._models[name]

    def image_names(self) -> tuple[str, ...]:
        """Return the name of all that container images are made on, sorted."""
        return _names(self.root / "images")

    def image_base(self, name: str) -> ImageBase:
        """Return what container images are made on; raises as `load_image_base`."""
        where, known = "manifests/defaults.yaml: image", self.image_names()
        path = self._path("images", name, known, where, lambda _, right: f"ask for `{right}`")
        return load_image_base(path, self)

    def advisories(self) -> dict[str, Advisory]:
        """Return every finding by its name, sorted; raises as `load_advisory`."""
        if self._advisories is None:
            folder = self.root / "advisories"
            self._advisories = {name: load_advisory(folder / f"{name}.yaml", self) for name in _names(folder)}
        return self._advisories

    def model_path(self, name: str) -> Path:
        """Return where a model's manifest lies; one of the project goes before one of the user's of that name."""
        path = self.root / "models" / f"{name}.yaml"
        if self.own_models is None or path.exists():
            return path
        return self.own_models / path.name

    def defaults(self) -> Defaults:
        """Return what a command without options means; raises as `load_defaults`."""
        if self._defaults is None:
            self._defaults = load_defaults(self.root / "defaults.yaml", self)
        return self._defaults

    def _path(
        self, folder: str, name: str, known: tuple[str, ...], where: str, fix: Callable[[str, str], str]
    ) -> Path:
        if name not in known:
            _refuse_name(where, name, known, fix)
        return self.root / folder / f"{name}.yaml"

    def output_path(self, recipe: str, platform: str) -> Path:
        """Return where the listing of a pinned bundle lies (format: `recipes.build.bundle.listing`)."""
        return self.root / "outputs" / f"{recipe}-{platform}.txt"

    def output_listing(self, recipe: str, platform: str) -> str | None:
        """Return the listing of a pinned bundle, or None where none is committed or it cannot be read."""
        try:
            return self.output_path(recipe, platform).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def show(self, path: Path) -> str:
        """Name a file as errors do: relative to the project."""
        return path.relative_to(self.project).as_posix() if path.is_relative_to(self.project) else str(path)


def load_recipe(path: Path, manifests: Manifests) -> Recipe:
    """Read one recipe and check it whole, with the toolchains that it names.

    Raises PinMissingError where a digest or a size is absent, and ManifestError where anything else is wrong.
    """
    document = read_file(path, manifests.show(path))
    lock = f"python3 noxfile.py -s lock -- --recipe {path.stem}"
    recipe = parse(document, Recipe, lock)
    known = manifests.toolchain_names()
    named = {platform.toolchain for platform in recipe.platforms.values()}
    named |= {recipe.page.toolchain} if recipe.page else set()
    kinds = {name: manifests.toolchain(name).kind for name in sorted(named & set(known))}
    shown = manifests.show(manifests.patches)
    refuse_first(
        document,
        [
            *name_problem(recipe.name, path.stem),
            *recipe_problems(recipe, kinds, known, lock),
            *(standing_problems(recipe, manifests.advisories()) if recipe.advisories else ()),
            *patch_file_problems(recipe, manifests.patches, shown),
            *_table_problem(recipe.components, manifests),
        ],
    )
    return msgspec.structs.replace(recipe, components=_listed(recipe.components, manifests))


def load_toolchain(path: Path, manifests: Manifests) -> Toolchain:
    """Read one toolchain and check it; raises as `load_recipe`."""
    document = read_file(path, manifests.show(path))
    toolchain = parse(document, Toolchain, _BY_HAND)
    refuse_first(
        document,
        [
            *name_problem(toolchain.name, path.stem),
            *toolchain_problems(toolchain),
            *_table_problem(toolchain.components, manifests),
        ],
    )
    return msgspec.structs.replace(toolchain, components=_listed(toolchain.components, manifests))


def load_image_base(path: Path, manifests: Manifests) -> ImageBase:
    """Read what container images are made on; raises as `load_recipe`."""
    document = read_file(path, manifests.show(path))
    base = parse(document, ImageBase, _BY_HAND)
    refuse_first(document, [*name_problem(base.name, path.stem), *image_problems(base)])
    return base


def load_components(path: Path, manifests: Manifests) -> Components:
    """Read one table of components and check it; raises as `load_recipe`."""
    document = read_file(path, manifests.show(path))
    table = parse(document, Components, _BY_HAND)
    refuse_first(document, [*name_problem(table.name, path.stem), *component_problems(table.components)])
    return table


def _table_problem(named: str | tuple[Component, ...] | None, manifests: Manifests) -> Iterator[Problem]:
    if isinstance(named, str) and named not in (known := manifests.components_names()):
        expected = f"a table of manifests/components: {any_of(known) if known else 'there is none'}"
        fix = f"correct the name, or add manifests/components/{named}.yaml"
        yield Problem(("components",), expected, unknown(named, known), fix)
    elif isinstance(named, tuple):
        yield from component_problems(named)


def _listed(named: str | tuple[Component, ...] | None, manifests: Manifests) -> tuple[Component, ...] | None:
    """Return the components that a name stands for: from here on a manifest holds them itself."""
    return manifests.components(named).components if isinstance(named, str) else named


def load_model(path: Path, manifests: Manifests) -> Model:
    """Read one model and check it; raises as `load_recipe`."""
    document = read_file(path, manifests.show(path))
    lock = f"python3 noxfile.py -s lock -- --model {path.stem}"
    model = parse(document, Model, lock)
    refuse_first(document, [*name_problem(model.name, path.stem), *model_problems(model, _BY_HAND, lock)])
    return model


def load_advisory(path: Path, manifests: Manifests) -> Advisory:
    """Read one finding and check it; raises ManifestError where anything is wrong."""
    document = read_file(path, manifests.show(path))
    advisory = parse(document, Advisory, _BY_HAND)
    refuse_first(document, advisory_problems(advisory, path.stem))
    return advisory


def load_defaults(path: Path, manifests: Manifests) -> Defaults:
    """Read the defaults and check the recipe that they name; raises RecipeError where either is wrong."""
    document = read_file(path, manifests.show(path))
    defaults = parse(document, Defaults, _BY_HAND)
    known = manifests.recipe_names()
    if defaults.recipe not in known:
        expected = f"a recipe of manifests/recipes: {any_of(known) if known else 'there is none'}"
        fix = f"correct the name, or add manifests/recipes/{defaults.recipe}.yaml"
        refuse_first(document, [Problem(("recipe",), expected, unknown(defaults.recipe, known), fix)])
    refuse_first(document, defaults_problems(defaults, manifests.recipe(defaults.recipe)))
    return defaults


def schema_text(kind: str) -> str:
    """Return the JSON Schema of one kind of manifest (a key of `SCHEMAS`), as editors read it.

    An editor takes `13.0` for a number and `true` for a truth value, where this reader takes each scalar for
    text; so where the type asks for text the published schema lets those stand too. Digests stay text.
    """
    schema = msgspec.json.encode(_for_editors(json_schema(SCHEMAS[kind])))
    return msgspec.json.format(schema, indent=2).decode() + "\n"


def write_schemas(folder: Path) -> tuple[Path, ...]:
    """Write the JSON Schema of each kind of manifest to `<kind>.schema.json` in a folder; raises StoreError."""
    paths = tuple(folder / f"{kind}.schema.json" for kind in SCHEMAS)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for kind, path in zip(SCHEMAS, paths, strict=True):
            path.write_text(schema_text(kind), encoding="utf-8")
    return paths


def _for_editors(schema: object) -> object:
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _for_editors(item) for key, item in schema.items()}
    if result.get("type") == "string" and not str(result.get("pattern", "")).startswith("^[0-9a-f]{"):
        result["type"] = ["string", "number", "boolean"]
    return result


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith(".")))


def _refuse_name(where: str, name: str, known: Sequence[str], fix: Callable[[str, str], str]) -> NoReturn:
    meant = closest(name, known) or next(iter(known), None)
    raise UsageError(
        where=where,
        expected=any_of(known) if known else "a manifest, and there is none",
        found=unknown(name, known),
        fix=fix(name, meant) if meant else "git checkout -- manifests",
    )
