"""Commands that make the book."""

import click

from sightline.cli.group import console, main
from sightline.errors import SightlineError


class BookCommands(click.Group):
    """Commands that need the extra `book`, and say so where it is missing."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn a missing package into a message with the remedy."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise SightlineError(
                f"{error.name} is not installed, and making the book needs it: "
                "pip install 'sightline[book]', or in a checkout: make book"
            ) from error


@main.group(cls=BookCommands)
def book() -> None:
    """Execute the chapters, build the site, check both."""


PROFILE = click.option(
    "--profile",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help="fast: a few images and epochs; full: the edition",
)


@book.command(name="run")
@click.argument("chapter", nargs=-1)
@PROFILE
@click.option("--data", help="cifar10, shapes or a folder; default: the profile's own")
@click.option("--keep", is_flag=True, help="leave out chapters that are up to date")
@click.option("--jobs", type=int, help="chapters at a time  [default: fast 2, full 1]")
def run_book(
    chapter: tuple[str, ...],
    profile: str,
    data: str | None,
    keep: bool,
    jobs: int | None,
) -> None:
    """Execute all chapters, or each CHAPTER named, such as 03 or 03_lr_finder."""
    from sightline.book import execute

    executed = execute.run(profile, data=data, chapters=chapter, keep=keep, jobs=jobs)
    console.print(f"executed chapters: {executed}")


@book.command(name="build")
@PROFILE
@click.option("--mixed", is_flag=True, help="also of several revisions or libraries")
def build_book(profile: str, mixed: bool) -> None:
    """Build the site from chapters that were executed."""
    from sightline.book.site import build

    site = build(profile, mixed=mixed)
    console.print(f"the site: {site}/index.html\nlook at it: make serve")


@book.command(name="release")
@click.option("--mixed", is_flag=True, help="also of several revisions or libraries")
def release_book(mixed: bool) -> None:
    """Pack the built site of the full edition, notebooks, figures and a PDF."""
    from sightline.book.release import release

    console.print(f"the release: {release(mixed=mixed)}")


@book.command(name="check")
@click.option("--fix", is_flag=True, help="let ruff repair the chapters first")
def check_book(fix: bool) -> None:
    """Check chapters and committed notebooks: pairing, style, alt text, errors."""
    from sightline.book.chapters import check

    check(fix=fix)


@book.command(name="address")
@click.argument("url")
def change_book_address(url: str) -> None:
    """Write a fork's URL, such as https://github.com/OWNER/NAME, wherever ours is."""
    from sightline.book.address import change_address

    changed = change_address(url)
    console.print(f"{len(changed)} files changed; look at them: git diff --stat")
