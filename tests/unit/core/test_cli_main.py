"""The command line as a process: help, exit codes, errors, streams, and plugins' commands."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap

import anyio
import click
import pytest
import sniffio
from click.testing import CliRunner

from rbee_scheduler import NoWorkersAvailable, PluginError
from rbee_scheduler.cli import cli
from rbee_scheduler.cli._failure import report_failure
from rbee_scheduler.cli._main import _COMMANDS
from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
    settings_of,
)
from rbee_scheduler.cli._output import Output


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "")
    for name in ("NO_COLOR", "FORCE_COLOR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run():
    return lambda *args, **options: CliRunner().invoke(cli, args, **options)


@pytest.fixture
def plugin(folder, monkeypatch):
    """Install a plugin with this source; its commands are there at once."""

    def install(source, name="fleet"):
        monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", name)
        module = f"cli_main_{name}"
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rbee-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rbee_scheduler]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def error_of(result):
    return json.loads(result.stderr)["error"]


# ---- help ------------------------------------------------------------------------------------


def test_help_lists_all_commands_and_imports_none(run):
    result = run("--help")
    assert (result.exit_code, result.stderr) == (0, "")
    for name, entry in _COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert entry.summary in result.stdout
    assert run().stdout == result.stdout


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_table_says_what_the_command_says(name, run):
    command = _COMMANDS[name].load()
    assert command.name == name
    assert command.get_short_help_str(200) == _COMMANDS[name].summary
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "--help" in result.stdout


def test_help_needs_click_and_nothing_else():
    code = (
        "import sys\n"
        "from rbee_scheduler.cli import main\n"
        "sys.argv = ['rbee-scheduler', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'attr', 'cattrs', 'anyio', 'httpx', 'pluggy', 'asyncio', 'importlib.metadata'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environ
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_version_answers(run):
    assert run("--version").stdout.startswith("rbee-scheduler 0.")


# ---- wrong usage -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "place", "message"),
    [
        (["--frob"], "rbee-scheduler", "No such option"),
        (["rout"], "rbee-scheduler", "No such command 'rout'. Did you mean 'route'?"),
        (["xyzzy"], "rbee-scheduler", "No such command 'xyzzy'"),
        (["route"], "rbee-scheduler route", "Missing option '-f' / '--file'"),
        (["completion", "tcsh"], "rbee-scheduler completion", "Invalid value for"),
        (["doctor", "--set", "seed"], "rbee-scheduler doctor", "Invalid value for --set"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(run, args, place, message):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {place}: {message}")
    assert result.stderr.endswith(f"(see {place} --help) [USAGE]\n")
    assert result.stderr.count("\n") == 1


def test_errors_are_json_when_asked_for_even_if_parsing_fails(run):
    error = error_of(run("route", "--frob", "--json"))
    assert (error["code"], error["place"]) == ("USAGE", "rbee-scheduler route")
    assert not run("route", "--frob", "--", "--json").stderr.startswith("{")


def test_a_wrong_configuration_exits_with_2(run, folder):
    (folder / "rbee-scheduler.toml").write_text("[queue]\ncapacty = 1\nx = 2\n")
    result = run("config", "show")
    assert (result.exit_code, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first == (
        "error: rbee-scheduler.toml: $.queue.capacty: unknown key"
        " (did you mean 'capacity'?) [CONFIG_INVALID]"
    )
    assert second.startswith("  also: rbee-scheduler.toml: $.queue.x: unknown key")
    error = error_of(run("--json", "config", "show"))
    assert error["code"] == "CONFIG_INVALID"
    assert error["place"] == "rbee-scheduler.toml: $.queue.capacty"
    assert len(error["notes"]) == 1


# ---- shared options --------------------------------------------------------------------------


def test_options_may_stand_before_and_after_the_command():
    seen = []

    @click.command()
    @deployment_options
    @backend_option
    @output_options
    def probe(output, source):
        settings = settings_of(click.get_current_context())
        seen.append((output.as_json, output.verbosity, settings.block, settings.strict))
        seen.append(source.configuration().deployment.backend)

    @click.group()
    @deployment_options
    @output_options
    def root(**_):
        pass

    root.add_command(probe)
    before, after = ["-v", "--block", "a"], ["--json", "-vq", "--block", "b", "--backend", "trio"]
    CliRunner().invoke(root, [*before, "probe", *after], catch_exceptions=False)
    assert seen == [(True, 1, ("a", "b"), False), "trio"]


def test_what_stands_later_wins(run):
    result = run("--set", "seed=1", "config", "show", "--set", "seed=2", "--json")
    assert json.loads(result.stdout)["values"]["seed"] == 2


def test_backend_comes_from_the_option_the_environment_or_the_file(run):
    def backend(*args, **environ):
        return json.loads(run("config", "show", "--json", *args, env=environ).stdout)["values"][
            "backend"
        ]

    assert backend() == "asyncio"
    assert backend(RBEE_SCHEDULER_BACKEND="trio") == "trio"
    assert backend("--backend", "asyncio", RBEE_SCHEDULER_BACKEND="trio") == "asyncio"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_source_runs_on_its_backend(backend):
    async def which(text):
        await anyio.lowlevel.checkpoint()
        return text, sniffio.current_async_library()

    source = DeploymentSource(settings_of(click.Context(cli)))
    source.override("backend", backend, "--backend")
    assert source.run(which, "x") == ("x", backend)


def test_a_backend_that_is_not_installed_is_an_error_with_a_remedy(monkeypatch):
    monkeypatch.setattr("rbee_scheduler.cli._backend.find_spec", lambda _: None)
    source = DeploymentSource(settings_of(click.Context(cli)))
    source.override("backend", "trio", "--backend")
    with pytest.raises(Exception, match=r"pip install 'rbee-scheduler\[trio\]'"):
        source.run(print)


# ---- plugins' commands -----------------------------------------------------------------------

COMMANDS = """
    import click
    from rbee_scheduler import hookimpl, NoWorkersAvailable

    @click.command()
    @click.argument("how")
    def fleet(how):
        if how == "bug":
            raise ValueError("oh \\x1b[2J no")
        if how == "none":
            raise NoWorkersAvailable("nobody", hint="add one")
        if how == "exit":
            raise SystemExit(7)
        if how == "wait":
            click.echo("ready")
            click.get_text_stream("stdin").read()
        if how == "words":
            raise SystemExit("words")
        click.echo(how)

    @hookimpl
    def rbee_register_commands(cli):
        cli.add_command(fleet, {name!r})
"""


def test_a_plugin_adds_a_command(run, plugin):
    plugin(COMMANDS.format(name="fleet"))
    assert run("fleet", "hello").stdout == "hello\n"
    assert run("--block", "fleet", "fleet", "hello").exit_code == 2
    assert run("--no-plugins", "fleet", "hello").exit_code == 2
    assert run("fleet", "hello", env={"RBEE_SCHEDULER_PLUGINS": ""}).exit_code == 2


def test_a_command_name_that_is_taken_is_an_error_naming_both(run, plugin):
    plugin(COMMANDS.format(name="route"))
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "the command 'route' comes from both rbee-scheduler and rbee-fleet 1.0" in result.stderr


def test_core_commands_load_no_plugin(run, plugin):
    plugin("raise SystemExit('loaded')")
    assert run("completion", "bash").exit_code == 0


@pytest.mark.parametrize(("how", "code"), [("none", 1), ("exit", 7), ("words", 1), ("bug", 70)])
def test_exit_codes_of_a_command(run, plugin, how, code):
    plugin(COMMANDS.format(name="fleet"))
    result = run("fleet", how)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "\x1b" not in result.stderr


def test_a_bug_comes_with_its_traceback_unless_quiet(run, plugin):
    plugin(COMMANDS.format(name="fleet"))
    assert "Traceback" in run("fleet", "bug").stderr
    assert "Traceback" not in run("-q", "fleet", "bug").stderr
    assert error_of(run("--json", "fleet", "bug"))["code"] == "INTERNAL"


# ---- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BaseExceptionGroup("tasks", [ValueError(), KeyboardInterrupt()]), 130, ""),
        (NoWorkersAvailable("nobody"), 1, "error: nobody [NO_WORKERS_AVAILABLE]\n"),
        (
            ExceptionGroup("a", [ExceptionGroup("b", [NoWorkersAvailable("nobody")])]),
            1,
            "error: nobody [NO_WORKERS_AVAILABLE]\n",
        ),
        (
            PluginError("two\nlines", plugin="p", distribution="d 1", hook="rbee_x"),
            2,
            "error: plugin 'p' (d 1) in rbee_x: two lines [PLUGIN_ERROR]\n",
        ),
        (click.FileError("x", "gone"), 2, "error: rbee-scheduler: Could not open file 'x': gone"),
    ],
)
def test_each_failure_has_its_code_and_its_words(failure, code, text, capsys):
    assert report_failure(failure, Output(color="never")) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(text) if text else err == ""


def test_ctrl_c_ends_the_line_of_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    assert report_failure(KeyboardInterrupt(), Output()) == 130
    assert sys.stderr.getvalue() == "\n"


def test_tools_can_walk_the_commands():
    walked = cli.to_info_dict(click.Context(cli))["commands"]
    assert set(walked) == set(_COMMANDS)


def test_click_can_still_be_used_without_our_exit(run):
    with pytest.raises(click.UsageError):
        cli.main(["--frob"], standalone_mode=False)


# ---- processes -------------------------------------------------------------------------------


def process(*args, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "rbee_scheduler", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_the_entry_point_is_the_module(folder):
    with process("--version") as module:
        assert module.communicate()[0].startswith(b"rbee-scheduler 0.")
        assert module.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_exits_with_130_quietly(folder, plugin):
    plugin(COMMANDS.format(name="fleet"))
    with process("fleet", "wait", env=os.environ | {"PYTHONPATH": str(folder)}) as child:
        # A child that fails to start closes its stdout; nothing here waits for ever.
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, b"")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_went_away_exits_with_141_quietly():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "rbee_scheduler", "config", "show"]
    done = subprocess.run(command, check=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_without_unicode_is_no_accident(folder, encoding):
    job = '{"job_id": "λ", "model": "模型", "prompt": "x"}'
    environ = os.environ | {"PYTHONIOENCODING": encoding, "TERM": "dumb"}
    with process("route", "-f", "-", env=environ) as child:
        out, _ = child.communicate(job.encode())
    assert child.returncode == 1
    assert b"\\u03bb" in out
    assert b"\\u6a21" in out
