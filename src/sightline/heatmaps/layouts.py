"""Where the output of a layer has its rows, its columns and its channels.

No class name is looked at. A picture that is a little taller and much wider shows which
axes are rows and columns: they grow with it, channels do not. Pictures of which one
band differs show which token belongs to which place: only its own patch changes it, as
long as nothing has mixed the tokens.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError

__all__ = ["Layout", "Probe"]

Kind = Literal["channels first", "channels last", "tokens"]
Shape = tuple[int, ...]
TALLER, WIDER = 64, 128  # pixels: most networks have a map's side for each 32
#: axes of the rows, the columns and the channels, of an output without its batch
AXES: dict[Kind, tuple[int, int, int]] = {
    "channels first": (1, 2, 0),
    "channels last": (0, 1, 2),
}
CHANGED = 1e-3  # of the largest change of a token: what changes by less is rounding


@dataclass(frozen=True)
class Layout:
    """How the output of a layer becomes maps."""

    kind: Kind
    grid: tuple[int, int]  #: rows and columns
    patches: Tensor | None = None  #: (h·w,) which tokens are places, row by row

    def maps(self, values: Tensor) -> Tensor:
        """Turn the output of a layer, or its gradient, into maps (B, C, h, w)."""
        if self.kind == "channels first":
            return values
        if self.kind == "channels last":
            return values.permute(0, 3, 1, 2)
        assert self.patches is not None
        return values[:, self.patches.to(values.device)].mT.unflatten(2, self.grid)


class Probe:
    """What a network does with pictures of another size, or with one band changed.

    The network must be in evaluation mode. Nothing is computed before it is needed.

    Args:
        model: the network.
        layers: parts of it, by name.
        shape: (C, H, W) of the pictures.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, nn.Module], shape: Shape):
        self.model, self.layers, self.shape = model, layers, shape

    def layout(self, layer: str, shape: Shape) -> Layout | None:
        """Return the layout of an output of this shape, without its batch.

        None: it cannot be told, or there are no places.
        """
        if len(shape) == 2:
            return self.tokens.get(shape[0])
        if len(shape) != 3:
            return None
        grown = self.grown.get(layer, shape)
        if grown == shape:  # the network takes one size only, or pools to one
            fits = [kind for kind in AXES if self._divides(_grid(kind, shape))]
        else:
            fits = [kind for kind in AXES if _follows(kind, shape, grown)]
        return Layout(fits[0], _grid(fits[0], shape)) if len(fits) == 1 else None

    def require(
        self, layer: str, values: Tensor, gradients: Tensor, method: str
    ) -> Layout:
        """Return how the output of a layer becomes the maps of a method.

        Raises:
            SightlineError: if that cannot be told, the method cannot do it, or the
                score does not depend on the maps.
        """
        layout = self.layout(layer, tuple(values.shape[1:]))
        if layout is None:
            raise SightlineError(
                f"layer {layer!r} gives {tuple(values.shape[1:])} for pictures of "
                f"{self.shape[1]}×{self.shape[2]}, and which of these are the rows and "
                "columns of the picture cannot be told; choose another layer"
            )
        if method == "ablation_cam" and layout.kind != "channels first":
            raise SightlineError(
                f"layer {layer!r} gives {layout.kind}, and ablation_cam takes channels "
                "first only; choose another layer or method"
            )
        if gradients.any() and not layout.maps(gradients).any():
            raise SightlineError(
                f"the logits do not depend on the places of layer {layer!r}, only on "
                "what it has beside them, such as a class token: choose an earlier "
                "layer"
            )
        return layout

    def _divides(self, grid: tuple[int, int]) -> bool:
        """Tell whether a grid cuts the pictures into squares of whole pixels."""
        _, height, width = self.shape
        rows, columns = grid
        if height % rows or width % columns or height // rows != width // columns:
            return False
        # as many rows and columns as tokens: how much each attends to each
        return grid == (1, 1) or not {rows} & set(self.tokens)

    @cached_property
    def grown(self) -> dict[str, Shape]:
        """Return the shapes of the outputs, as far as a larger picture gets."""
        channels, height, width = self.shape
        picture = torch.zeros(1, channels, height + TALLER, width + WIDER)
        return self.shapes(picture, stop=False)

    def shapes(self, images: Tensor, *, stop: bool = True) -> dict[str, Shape]:
        """Return the shapes of the first outputs without their batch, in order.

        With `stop` an error of the network is raised, else it ends the search.
        """
        shapes: dict[str, Shape] = {}

        def note(name: str, output: Tensor) -> None:
            shapes.setdefault(name, tuple(output.shape[1:]))

        with ExitStack() as errors:
            if not stop:  # somebody else's code may raise anything
                errors.enter_context(suppress(Exception))
            self.show(images, self.layers, note)
        return shapes

    @cached_property
    def tokens(self) -> Mapping[int, Layout]:
        """Return the layouts of tokens, by their number."""
        channels, height, width = self.shape
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(channels, height, width, generator=generator)
        images = torch.zeros(4, channels, height, width)  # of which the first is blank
        images[1] = noise
        images[2, :, 0] = noise[:, 0]
        images[3, :, :, 0] = noise[:, :, 0]
        layouts: dict[int, Layout] = {}

        def note(name: str, output: Tensor) -> None:
            if output.ndim == 3 and len(output) == 4 and output.shape[1] not in layouts:
                layout = _of_tokens(output)
                layouts.update({output.shape[1]: layout} if layout else {})

        with suppress(Exception):  # as above
            self.show(images, dict(self.model.named_modules()), note)
        return layouts

    def show(
        self,
        images: Tensor,
        layers: Mapping[str, nn.Module],
        note: Callable[[str, Tensor], None],
    ) -> None:
        """Show images to the network, and hand what its layers give to `note`."""

        def hook(name: str, layer: nn.Module, inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor):
                note(name, output)

        with ExitStack() as hooks, torch.no_grad():
            for name, layer in layers.items():
                hooks.enter_context(layer.register_forward_hook(partial(hook, name)))
            self.model(images.to(next(self.model.parameters()).device))


def _grid(kind: Kind, shape: Shape) -> tuple[int, int]:
    """Return the rows and columns of an output (without its batch)."""
    rows, columns, _ = AXES[kind]
    return shape[rows], shape[columns]


def _follows(kind: Kind, shape: Shape, grown: Shape) -> bool:
    """Tell whether rows and columns grew with the picture, and channels did not."""
    rows, columns, channels = AXES[kind]
    taller, wider = grown[rows] - shape[rows], grown[columns] - shape[columns]
    return shape[channels] == grown[channels] and 0 < taller < wider


def _of_tokens(output: Tensor) -> Layout | None:
    """Read the places of tokens (4, N, C) from what changed them.

    The pictures were blank, noise, noise in the first row, and noise in the first
    column of pixels. None: tokens that are mixed, or in another order.
    """
    changes = (output[1:] - output[:1]).abs().amax(2)  # (3, N)
    changed = (changes > CHANGED * changes.amax(1, keepdim=True)).cpu()
    patches = torch.nonzero(changed[0])[:, 0]
    top, left = changed[1, patches], changed[2, patches]
    starts = torch.nonzero(left & ~left.roll(1))[:, 0]
    if len(starts) < 2 or starts[0] != 0 or len(patches) % int(starts[1]):
        return None
    columns = int(starts[1])
    grid = len(patches) // columns, columns
    first_rows, first_columns = top.view(grid), left.view(grid)
    expected = (
        torch.arange(grid[0])[:, None] < first_rows[:, 0].sum(),
        torch.arange(grid[1])[None] < first_columns[0].sum(),
    )
    fits = torch.equal(first_rows, expected[0].expand(grid)) and torch.equal(
        first_columns, expected[1].expand(grid)
    )
    return Layout("tokens", grid, patches) if fits and not top.all() else None
