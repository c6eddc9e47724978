"""A stand-in for Terragrunt: `find`, `render`, `stack generate` as the real program answered them, and `run -- …`.

It is run as a program: `terragrunt_standin.py RECORDINGS REAL ARGUMENTS…`. Recorded answers belong to the very files of
a commit: each is found by a digest of them. Where REAL names the real program, what is not recorded yet is asked of it
and added. `run` copies the unit's module, writes what the recorded `render` says, and calls Terraform.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

UNKNOWN = 97
_ONLY_NAMES = (".tf", ".tofu", ".tf.json", ".md", "driftguard.yaml", "-version")
_ASKED = re.compile(r'get_env\("(\w+)"')
_TAKEN = re.compile(r"(\w+)\s*=\s*dependency\.(\w+)\.outputs\.(\w+)")


class Recordings:
    """The answers of the real program, by the files of a commit and the call."""

    def __init__(self, file: Path, real: str, root: Path) -> None:
        self._file, self._real, self._root = file, real, root
        listed = subprocess.run(["git", "ls-files", "-s"], cwd=root, capture_output=True, text=True, check=True).stdout
        lines = [line.split("\t") for line in listed.splitlines()]
        parts = [path if path.endswith(_ONLY_NAMES) else f"{path} {about}" for about, path in lines]
        texts = [(root / path).read_text() for _, path in lines if path.endswith(".hcl")]
        asked = {name for text in texts for name in _ASKED.findall(text)} - {"STATES"}
        self._given = "".join(f" {name}={os.environ[name]}" for name in sorted(asked) if name in os.environ)
        self._key = hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]

    def answer(self, arguments: list[str], cwd: Path) -> dict[str, Any]:
        """What the real program answered."""
        given = self._given if arguments[0] == "render" else ""
        called = f"{cwd.relative_to(self._root)}: {' '.join(arguments)}{given}"
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        found: dict[str, Any] | None = known.get(self._key, {}).get(called)
        if found is None:
            found = self._recorded(called, arguments, cwd)
        text = json.dumps(found).replace("{repo}", str(self._root)).replace("{states}", os.environ.get("STATES", "/no"))
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _recorded(self, called: str, arguments: list[str], cwd: Path) -> dict[str, Any]:
        if not self._real:
            sys.exit(f"not recorded: {self._key} {called}; see tests/support/terragrunt_standin.py")
        done = subprocess.run([self._real, *arguments], cwd=cwd, capture_output=True, text=True)
        found: dict[str, Any] = {
            "rc": done.returncode,
            "stdout": self._placed(done.stdout),
            "stderr": self._placed(done.stderr),
        }
        if arguments[0] == "stack":
            made = (path for path in cwd.rglob("*.hcl") if ".terragrunt-stack" in path.parts)
            found["files"] = {str(path.relative_to(cwd)): path.read_text() for path in made}
        with Path(tempfile.gettempdir(), "terragrunt-recordings.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = json.loads(self._file.read_text()) if self._file.exists() else {}
            known.setdefault(self._key, {})[called] = found
            part = self._file.with_suffix(".part")
            part.write_text(_lines(known))
            part.replace(self._file)  # others read it meanwhile
        return found

    def _placed(self, text: str) -> str:
        text = text.replace(str(self._root), "{repo}").replace(os.environ.get("STATES", "\0"), "{states}")
        return re.sub(r'"time":"[^"]*"', '"time":""', text)


def _lines(known: dict[str, dict[str, Any]]) -> str:
    """All answers as JSON, one call a line."""
    groups = (
        f"{json.dumps(key)}: {{\n"
        + ",\n".join(f"{json.dumps(call)}: {json.dumps(answer)}" for call, answer in sorted(calls.items()))
        + "\n}"
        for key, calls in sorted(known.items())
    )
    return "{\n" + ",\n".join(groups) + "\n}\n"


FIND = ["find", "--json", "--dependencies", "--reading", "--exclude"]
RENDER = ["render", "--json", "--experiment", "optional-dependency-outputs", "--no-dependency-outputs"]


class Unit:
    """One unit, as its recorded `render` describes it."""

    def __init__(self, recordings: Recordings, root: Path, directory: Path) -> None:
        self._recordings, self._root, self.directory = recordings, root, directory
        answer = recordings.answer(RENDER, directory)
        if answer["rc"]:
            sys.stderr.write(answer["stderr"])
            sys.exit(answer["rc"])
        self._rendered = json.loads(answer["stdout"])

    @property
    def _found(self) -> dict[str, Any]:
        listed = json.loads(self._recordings.answer(FIND, self._root)["stdout"])
        path = str(self.directory.relative_to(self._root))
        return next(each for each in listed if each["path"] == path)

    @property
    def runs(self) -> bool:
        """Whether `exclude` with `no_run` keeps the unit from being run at all."""
        exclude = self._found.get("exclude") or {}
        return not (exclude.get("if") and exclude.get("no_run"))

    def outputs(self) -> dict[str, Any]:
        """The outputs in the unit's state: a local file, or behind an address."""
        config = self._rendered["remote_state"]["config"]
        try:
            with urllib.request.urlopen(config.get("address") or f"file://{config['path']}") as answer:
                held = json.load(answer).get("outputs", {})
        except urllib.error.URLError:
            held = {}
        return {name: output["value"] for name, output in held.items()}

    def _given(self, name: str) -> dict[str, Any]:
        """What the unit gets of one dependency; mocks with a word about them, or not."""
        block = self._rendered["dependency"][name]
        mocks = block["mock_outputs"]
        if block["enabled"] is False:
            return mocks or {}
        other = Unit(self._recordings, self._root, Path(os.path.normpath(self.directory / block["config_path"])))
        held = {} if block["skip"] else other.outputs()
        if held:
            strategy = block["mock_outputs_merge_strategy_with_state"]
            return {**mocks, **held} if mocks and strategy in ("shallow", "deep_map_only") else held
        of, mine = other.directory / "terragrunt.hcl", self.directory / "terragrunt.hcl"
        if mocks is None:
            _log("error", f"{of} is a dependency of {mine} but detected no outputs. Either it has not been applied.")
            sys.exit(1)
        tail = "that has no outputs, but mock outputs provided and returning those in dependency output."
        _log("warn", f"Config {of} is a dependency of {mine} {tail}")
        return dict(mocks)

    def _inputs(self) -> dict[str, Any]:
        inputs = dict(self._rendered["inputs"] or {})
        given = {name: self._given(name) for name in self._rendered["dependency"]}
        read = [p for p in self._found.get("reading", []) if p.endswith(".hcl")]
        texts = [(self.directory / "terragrunt.hcl").read_text(), *((self._root / path).read_text() for path in read)]
        for text in texts:
            for key, name, output in _TAKEN.findall(text):
                inputs[key] = given[name].get(output)
        return inputs

    def prepared(self) -> tuple[Path, dict[str, str]]:
        """The folder that Terraform runs in, and the variables that it gets."""
        inputs = self._inputs()
        terraform = self._rendered["terraform"] or {}
        base, _, inner = str(terraform.get("source") or ".").partition("//")
        source = Path(os.path.normpath(self.directory / base))
        work = Path(os.environ["TG_DOWNLOAD_DIR"]) / hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        shutil.copytree(source, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", ".terraform"))
        module = work / inner
        for file in self.directory.iterdir():
            if file.is_file() and file.name != "terragrunt.hcl":
                shutil.copyfile(file, module / file.name)
        backend = self._rendered.get("remote_state")
        if backend and backend.get("generate"):
            lines = "".join(f"    {key} = {json.dumps(value)}\n" for key, value in backend["config"].items())
            text = f'terraform {{\n  backend "{backend["backend"]}" {{\n{lines}  }}\n}}\n'
            (module / backend["generate"]["path"]).write_text(text)
        for each in (self._rendered.get("generate") or {}).values():
            (module / each["path"]).write_text(each["contents"])
        return module, {f"TF_VAR_{k}": v if isinstance(v, str) else json.dumps(v) for k, v in inputs.items()}

    def var_files(self, command: str) -> list[str]:
        """The var files that `extra_arguments` give to a command."""
        extra = ((self._rendered["terraform"] or {}).get("extra_arguments") or {}).values()
        return [
            f"-var-file={name}" for each in extra if command in each["commands"] for name in each["required_var_files"]
        ]

    def hooks(self, command: str, module: Path) -> None:
        """Run the hooks before a command."""
        for hook in ((self._rendered["terraform"] or {}).get("before_hook") or {}).values():
            if command in hook["commands"]:
                subprocess.run(hook["execute"], cwd=module, check=True)


def _log(level: str, message: str) -> None:
    print(json.dumps({"level": level, "msg": message}), file=sys.stderr)


def _run(recordings: Recordings, root: Path, arguments: list[str]) -> int:
    if "TF_DATA_DIR" in os.environ:
        return 99
    unit = Unit(recordings, root, Path.cwd())
    if not unit.runs:
        return 0
    module, variables = unit.prepared()
    environment = {**os.environ, **variables}
    program, command = os.environ["TG_TF_PATH"], arguments[0]
    if command not in ("init", "version") and not (module / ".terraform").exists():
        subprocess.run([program, "init", "-input=false"], cwd=module, env=environment, check=True)
    unit.hooks(command, module)
    sys.stdout.flush()
    os.chdir(module)
    os.execve(program, [program, command, *unit.var_files(command), *arguments[1:]], environment)
    return UNKNOWN


def main(file: str, real: str, *arguments: str) -> int:
    """One call."""
    root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / ".git").exists())
    recordings = Recordings(Path(file), real, root)
    if arguments[0] == "run":
        return _run(recordings, root, list(arguments[arguments.index("--") + 1 :]))
    answer = recordings.answer(list(arguments), Path.cwd())
    for path, text in answer.get("files", {}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    sys.stdout.write(answer["stdout"])
    sys.stderr.write(answer["stderr"])
    return int(answer["rc"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
