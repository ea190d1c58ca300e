"""Links lead somewhere, commands and options exist, and the written page is current."""

import argparse
import ast
import contextlib
import doctest
import functools
import importlib
import io
import json
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, ImageDraw

import pokejax.__main__ as pokejax
from data_tools import create_dataset
from pokejax import train
from pokejax.attributes import VOCABULARIES
from pokejax.commands import COMMANDS
from pokejax.config import shipped
from pokejax.data import cifar
from server.settings import PREFIX, Settings

PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), Path("SECURITY.md")]
PAGES += sorted(Path("docs").glob("*.md"))
HOME = "https://github.com/pokejax/pokejax"


def prose(page: Path) -> str:
    """The page without its blocks of code and its comments."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"<!--.*?-->", "", text, flags=re.S)


def anchors(page: Path) -> set[str]:
    """The ids of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    words = [re.sub(r"[^\w\s-]", "", h.lower()).strip() for h in headings]
    return {word.replace(" ", "-") for word in words}


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)


def trouble_with(link: str, page: Path) -> str | None:
    address, _, anchor = link.partition("#")
    target = page.parent / address if address else page
    if address.startswith(HOME):
        inside = re.sub(rf"{HOME}/?(?:(?:blob|tree)/main/)?", "", address)
        target = Path(inside or "README.md")
        anchor = "" if anchor == "readme" else anchor
    elif "://" in address:
        return None  # other people's; tests don't reach the network
    elif page.parent.name == "docs" and target.parts[:2] == ("docs", ".."):
        return f"the site has no {link}; link to {HOME}/blob/main/"
    if not target.exists():
        return f"no {target}"
    if anchor and anchor not in anchors(target):
        return f"{target} has no heading {anchor!r}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path):
    troubles = [found for link in links(page) if (found := trouble_with(link, page))]
    assert troubles == []


def test_a_dead_link_is_noticed():
    page = Path("docs/faq.md")
    for link in ("nothing.md", "#nothing", "api.md#nothing", "../README.md"):
        assert trouble_with(link, page), link
    assert trouble_with(f"{HOME}/blob/main/nothing.py", page)
    assert trouble_with("api.md#streams", page) is None


def test_the_site_has_every_page():
    def paths(entries: list) -> Iterator[str]:
        for entry in entries:
            if isinstance(entry, dict):
                for value in entry.values():
                    yield from paths(value)
            else:
                yield entry

    nav = yaml.safe_load(Path("mkdocs.yml").read_text())["nav"]
    assert sorted(paths(nav)) == sorted(p.name for p in Path("docs").glob("*.md"))


def test_the_configuration_page_is_current():
    written = Path("docs/config.md").read_text("utf-8")
    page = runpy.run_path("docs/config_page.py")["page"]
    assert written == page(), "make config-page writes it again"


def commands(page: Path, *, whole: bool = False) -> Iterator[str]:
    """Every line of its code that might be a command, continued lines joined.

    Args:
      page: a Markdown file.
      whole: leave out what stands within sentences, which may be a part of one only.
    """
    text = re.sub(r"<!--.*?-->", "", page.read_text("utf-8"), flags=re.S)
    blocks = re.findall(r"^```(?:console|sh|)\n(.*?)^```$", text, flags=re.M | re.S)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    blocks += re.findall(r"^    (\S(?:.*\\\n)*.*)$", rest, flags=re.M)
    if not whole:
        blocks += [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", rest)]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield line.split(" #")[0].strip().removeprefix("$ ")


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*", text))


@functools.cache
def options_of(name: str) -> set[str]:
    """The options that a module's `--help` lists."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    told = io.StringIO()
    with contextlib.redirect_stdout(told), pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    return options_in(told.getvalue())


def project() -> dict[str, Any]:
    return tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]


def targets() -> set[str]:
    """What make can be asked for."""
    return set(
        re.findall(r"^([a-z][a-z-]*):", Path("Makefile").read_text(), flags=re.M)
    )


_OURS = r"(?:pokejax|data_tools)\.[\w.]+|server|fetch_sprites|create_dataset"
_CONSOLE = re.compile(r"(?:^|[ =])pokejax ((?:data )?[a-z][a-z_-]*)(?= |$)")


def troubles_with(command: str) -> Iterator[str]:
    """What a line of code names that doesn't exist."""
    for path in re.findall(r"\b(?:configs|benchmarks|docs)/\w+\.py", command):
        if not Path(path).is_file():
            yield f"no {path}"
    for recipe in re.findall(r" --config ([a-z]\w*)(?= |$)", command):
        if recipe not in shipped():
            yield f"no recipe {recipe}"
    called = re.match(rf"(.*python -m )?({_OURS})(?= |$)", command)
    if console := _CONSOLE.search(command):
        name, used = console[1], options_in(command[console.end() :])
        if name in COMMANDS:
            known = options_of(COMMANDS[name][0])
            yield from (f"pokejax {name} has no {o}" for o in used - known)
        else:
            yield f"no command pokejax {name}"
    elif called and (called[1] or options_in(command)):
        name = called[2] if "." in called[2] else f"data_tools.{called[2]}"
        name = "server" if called[2] == "server" else name
        used = options_in(command[called.end() :])
        yield from (f"{name} has no {o}" for o in used - options_of(name))
    elif script := re.search(r"python ((?:benchmarks|docs|tests)/\S+\.py)", command):
        text = Path(script[1]).read_text("utf-8")
        yield from (
            f"{script[1]} has no {o}" for o in options_in(command) if o not in text
        )
    elif make := re.fullmatch(r"(?:\w+=\S+ )*make ([^`]*)", command):
        asked = {word for word in make[1].split() if "=" not in word}
        yield from (f"make has no {word}" for word in asked - targets())
    elif command.startswith("--"):
        yield from (f"no command has {o}" for o in options_in(command) - every_option())
    for extras in re.findall(r"pokejax\[([\w,]+)\]", command):
        known = project()["optional-dependencies"].keys()
        yield from (f"no extra {name}" for name in set(extras.split(",")) - known)
    variables = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", command))
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    yield from (f"no setting {name}" for name in variables - known)


@functools.cache
def every_option() -> set[str]:
    """Of all commands whose options are named alone."""
    names = ("train", "generate", "evaluate", "export")
    tools = ("fetch_sprites", "generate_metadata", "create_dataset", "pokemon_cifar")
    tools = (*tools, "beam_dataset")
    modules = [f"pokejax.{name}" for name in names]
    modules += [*(f"data_tools.{name}" for name in tools), "server"]
    return set().union(*map(options_of, modules))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_options_exist(page: Path):
    lines = list(commands(page))
    if page.name == "migration.md":  # the left column is the original's
        rows = re.findall(r"^\|[^|]*\|(.*)\|$", page.read_text("utf-8"), flags=re.M)
        lines = re.findall(r"`([^`]+)`", " ".join(rows))
    troubles = {(line, found) for line in lines for found in troubles_with(line)}
    assert not troubles


@pytest.mark.parametrize(
    "command",
    [
        "python -m pokejax.train --train.epoch 3",
        "pokejax train --train.epoch 3",
        "pokejax data create_dataset --nothing",
        "pokejax drow",
        "FEW=1 srun pokejax data nothing",
        "python -m pokejax.train --config configs/nothing.py",
        "pokejax train --config nothing",
        "python benchmarks/prior_latency.py --nothing",
        "make nothing",
        "create_dataset --nothing",
        "pip install 'pokejax[train,nothing]'",
        "--hue-turn 3",
        "POKEJAX_NOTHING=1 make serve",
    ],
)
def test_a_wrong_command_is_noticed(command: str):
    assert list(troubles_with(command))


class Understood(BaseException):
    """Raised in the place of doing what the arguments ask for."""


@pytest.fixture
def only_understand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep commands and scripts from doing more than reading their arguments."""

    def and_no_more(read: Callable) -> Callable:
        @functools.wraps(read)
        def reading(*args: Any, **options: Any) -> None:
            read(*args, **options)
            raise Understood

        return reading

    parser = argparse.ArgumentParser
    monkeypatch.setattr(parser, "parse_args", and_no_more(parser.parse_args))
    # Training reads its settings from what its parser leaves over.
    read = and_no_more(train.parse_arguments)
    monkeypatch.setattr(train, "parse_arguments", read)
    monkeypatch.syspath_prepend("benchmarks")


def start_of(command: str) -> Callable[[], object] | None:
    """What starts it here; None if it isn't ours or takes no arguments."""
    command = command.replace("$recipe", "original64")  # of a loop over recipes
    if (console := _CONSOLE.search(command)) and console[1] in COMMANDS:
        words = shlex.split(command[console.end() :].replace("…", ""))
        module = importlib.import_module(COMMANDS[console[1]][0])
        return functools.partial(module.main, words)
    if called := re.search(rf"python -m ({_OURS})(?= |$)", command):
        name = "server.__main__" if called[1] == "server" else called[1]
        words = shlex.split(command[called.end() :])
        return functools.partial(importlib.import_module(name).main, words)
    script = re.search(r"python ((?:benchmarks|docs)/\S+\.py)", command)
    if script and "parse_args" in Path(script[1]).read_text("utf-8"):
        words = shlex.split(command[script.start(1) :])

        def start() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words)
                try:
                    runpy.run_path(script[1], run_name="__main__")
                except ModuleNotFoundError as error:  # of an extra that isn't here
                    raise Understood from error

        return start
    return None


def complaint_about(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What its own parser has to say against it; empty if nothing."""
    try:
        start = start_of(command)
        ended = start() if start else Understood()
    except Understood as error:
        ended = error
    except SystemExit as error:
        ended = error.code
    told = capsys.readouterr().err
    return "" if isinstance(ended, Understood) else f"{command}: {ended}, {told}"


@pytest.mark.usefixtures("only_understand")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_take_what_is_given(page: Path, capsys: pytest.CaptureFixture[str]):
    """However long they would take: the values of their options are read, too."""
    lines = commands(page, whole=True)
    assert [told for line in lines if (told := complaint_about(line, capsys))] == []


@pytest.mark.usefixtures("only_understand")
@pytest.mark.parametrize(
    "command",
    [
        "pokejax draw --prompt fish --num some",
        "pokejax train … --train.epochs some",
        "XLA_FLAGS= pokejax train --train.epochs 0",
        "python -m pokejax.pack --image-size some",
        "PYTHONPATH=. python benchmarks/prior_latency.py --rounds some",
    ],
)
def test_a_wrong_value_is_noticed(command: str, capsys: pytest.CaptureFixture[str]):
    assert "error" in complaint_about(command, capsys)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_python_compiles_and_finds_what_it_imports(page: Path):
    text = page.read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S):
        if block.startswith(">>>"):
            continue
        code = ast.parse(block)
        code.body = [n for n in code.body if isinstance(n, ast.Import | ast.ImportFrom)]
        exec(compile(code, str(page), "exec"), {})


def test_what_the_prompts_page_shows_is_what_is_read():
    text = Path("docs/prompts.md").read_text("utf-8").replace("```", "")
    shown = doctest.DocTestParser().get_doctest(text, {}, "prompts.md", None, 0)
    assert shown.examples and not doctest.DocTestRunner().run(shown).failed


def test_the_api_page_has_every_setting():
    text = Path("docs/api.md").read_text("utf-8")
    for field in fields(Settings):
        assert f"| `{PREFIX}{field.name.upper()}` |" in text


def test_the_page_on_own_sprites_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its folder, its three commands, and attributes added by hand."""
    page = Path("docs/own_sprites.md").read_text("utf-8")
    own = tmp_path / "my_sprites"
    names = ["Emberfox/front", "mossling_front", *(f"thing{i}_front" for i in range(9))]
    for i, name in enumerate(names):
        assert i > 1 or name.rpartition("/")[2] in page
        picture = Image.new("RGBA", (40 + i, 40))
        ImageDraw.Draw(picture).ellipse((5, 5, 30, 30 - i), "red")
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(own / f"{name}.png")
    (own / "Emberfox/front.txt").write_text("a small fox of embers\n")
    caption = re.search(r'\{"caption": .*\}', page)
    assert caption
    (own / "mossling_front.json").write_text(caption[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which `main` replaces
    for line in commands_of_block(page, "fetch_sprites"):
        program, *arguments = shlex.split(line)
        assert program == "pokejax"
        assert pokejax.main([*arguments, "--workers", "1"]) == 0
    metadata = Path("images/Emberfox/emberfox_emberfox_front.json")
    said = re.search(r"^```json\n(.*?)```", page, flags=re.M | re.S)
    assert said
    metadata.write_text(
        json.dumps(json.loads(metadata.read_text()) | json.loads(said[1]))
    )
    assert create_dataset.main(["--workers", "1", "--quiet"]) == 0
    rows = [
        (split.prompts[i], split.attributes[i])
        for split in cifar.read(Path("pokemon-cifar-64"), 64).values()
        for i in range(len(split))
    ]
    told = {prompts[0]: ids for prompts, ids in rows}
    assert "a round green ball of moss" in told
    fire = list(VOCABULARIES).index("type1"), VOCABULARIES["type1"].index("Fire")
    assert told["a small fox of embers"][fire[0]] == fire[1]


def commands_of_block(page: str, word: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", page, flags=re.M | re.S)
    return next(block for block in blocks if word in block).splitlines()
