"""A model's folder: model, manifest and model card; written whole or not at all, checked when it is read."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import stat
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo.errors import InvalidOption, ModelTampered, UntrustedModel
from hpo.models.serialization import FORMATS, KNOWN_TYPES, unpack
from hpo.units import one_line

MANIFEST, CARD = "manifest.json", "README.md"
_DRAFT, _ASIDE = ".hpo-new-", ".hpo-old-"
_OLD = 60  # seconds after which a draft was left behind by a process that was killed


def check_target(path: "str | os.PathLike[str]", *, force: bool) -> Path:
    """The folder that is to be made, or InvalidOption where that cannot be."""
    target = Path(os.path.abspath(os.path.expanduser(path)))
    _put_back(target)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InvalidOption(f"{path} is not a folder: name a new folder for the model")
    if target.is_dir():
        there = sorted(entry.name for entry in target.iterdir())
        foreign = [name for name in there if name not in {MANIFEST, CARD, *FORMATS.values()}]
        if foreign or (there and MANIFEST not in there):
            raise InvalidOption(f"{path} has other files ({', '.join((foreign or there)[:3])}): name a new folder")
        if there and not force:
            raise InvalidOption(f"{path} has a model already: name another folder, or replace it with --force")
    nearest = next(folder for folder in target.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InvalidOption(f"{path} cannot be made: {nearest} is not a folder that can be written")
    return target


def write_folder(target: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> str:
    """Write a model's folder whole or not at all, in the place of what :func:`check_target` let pass.

    Args:
        target: the folder.
        files: name -> content, of all but the manifest.
        manifest: what it is to say beside the files and its own digest.

    Returns:
        The digest of the manifest, which names the digests of all files.
    """
    sizes = {name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in files.items()}
    said = {**manifest, "files": sizes}
    digest = manifest_digest(said)
    text = json.dumps({**said, "digest": digest}, indent=2, ensure_ascii=False) + "\n"
    draft = target.with_name(f".{target.name}{_DRAFT}{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        draft.mkdir()
        try:
            for name, content in {**files, MANIFEST: text.encode()}.items():
                with (draft / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            _move(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise InvalidOption(f"{target} cannot be written: {error.strerror or error}") from error
    return digest


def _move(draft: Path, target: Path) -> None:
    """Give the draft its name; a former model there goes only once the new one is in its place."""
    if not target.exists() or not any(target.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        draft.rename(target)
        return
    aside = target.with_name(f".{target.name}{_ASIDE}{uuid.uuid4().hex}")
    target.rename(aside)
    try:
        draft.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _put_back(target: Path) -> None:
    """Give a former model its name again, where who was replacing it was killed before the new one had it."""
    for aside in target.parent.glob(f".{glob.escape(target.name)}{_ASIDE}*"):
        with contextlib.suppress(OSError):
            if target.exists():
                shutil.rmtree(aside)
            else:
                aside.rename(target)


def _sweep(target: Path) -> None:
    """Remove the drafts of exports to this folder that were killed."""
    for left in target.parent.glob(f".{glob.escape(target.name)}{_DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD:
                shutil.rmtree(left)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Hash of what a manifest says, but for the digest itself, however its text is laid out."""
    said = {key: value for key, value in manifest.items() if key != "digest"}
    return _sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())


# --- loading ---


def load_model(
    path: "str | os.PathLike[str]",
    *,
    digest: str | None = None,
    trusted: Sequence[str] | None = None,
    allow_pickle: bool = False,
) -> Any:
    """The fitted estimator that ``hpo export`` wrote, once every file is seen to be what the manifest says.

    A model in skops's format is loaded without running code of the file's choosing: only types that skops trusts, those
    of scikit-learn's own models, and those named in ``trusted``. The manifest tells damage and tampering with single
    files; only ``digest``, kept elsewhere, tells a folder in which everything was forged. Name it where models come
    from people whom you do not trust: a forged tree, of right type and wrong content, can crash the process.

    Args:
        path: the folder.
        digest: what ``hpo export`` printed; then the manifest must be that one.
        trusted: further types that may be loaded, by their full names as in ``"mypackage.MyEstimator"``.
        allow_pickle: load a model in joblib's format, which can run any code.

    Raises:
        ModelTampered: a file is missing, or not what was exported.
        UntrustedModel: it holds types that nobody said to trust, or is a pickle.
        InvalidOption: there is no exported model.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> exported = run.export("model")
        >>> type(hpo.load_model("model")).__name__
        'DecisionTreeClassifier'
    """
    folder = Path(path).expanduser()
    manifest = _read_manifest(folder, digest)
    _refuse_additions(folder, manifest["files"])
    contents = dict(_read_files(folder, manifest["files"]))
    file = next((name for name in FORMATS.values() if name in contents), None)
    if file is None:
        raise ModelTampered(f"{folder / MANIFEST} names no {' or '.join(FORMATS.values())}")
    if file == FORMATS["joblib"] and not allow_pickle:
        raise UntrustedModel(
            f"{folder / file} is a pickle, which can run any code when it is loaded: if you trust where it comes from, "
            "say allow_pickle=True"
        )
    _warn_of_versions(folder, _versions(manifest))
    try:
        if file == FORMATS["skops"]:
            _check_types(folder / file, contents[file], list(trusted or ()))
        return unpack(file, contents[file], list(trusted or ()))
    except UntrustedModel:
        raise
    except Exception as error:  # an archive may be broken, or of a newer skops, in any way
        what = f"{type(error).__name__}: {one_line(error)}"
        raise UntrustedModel(f"{folder / file} cannot be loaded here ({what}); {_made_with(manifest)}") from error


def _read_manifest(folder: Path, digest: str | None) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(_content(path))
    except OSError as error:
        raise InvalidOption(f"there is no exported model in {folder}: {MANIFEST} cannot be read") from error
    except (ValueError, RecursionError) as error:
        raise ModelTampered(f"{path} was changed since it was exported: it is not JSON ({one_line(error)})") from error
    is_ours = isinstance(manifest, dict) and isinstance(manifest.get("files"), dict)
    if not is_ours or manifest.get("digest") != manifest_digest(manifest):
        raise ModelTampered(f"{path} was changed since it was exported: what it says does not match its own digest")
    if digest is not None and manifest["digest"] != digest:
        raise ModelTampered(f"{folder} is not the model that was asked for: its digest is {manifest['digest']}")
    return manifest


def _read_files(folder: Path, named: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, said in named.items():
        if name not in {CARD, *FORMATS.values()}:  # a name could lead out of the folder
            raise ModelTampered(f"{folder / MANIFEST} names {name!r}, which no export writes")
        try:
            content = _content(folder / name)
        except OSError as error:
            raise ModelTampered(f"{folder} lacks {name}, which was exported with it") from error
        if not isinstance(said, dict) or _sha256(content) != said.get("sha256"):
            raise ModelTampered(f"{folder / name} was changed since it was exported: its SHA-256 is another")
        yield name, content


def _content(path: Path) -> bytes:
    """What a file holds; raises OSError where it is a pipe, a device or a folder, which might never end."""
    # A pipe nobody writes to is opened without waiting, and seen to be one.
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a file")
        return file.read()


def _refuse_additions(folder: Path, named: Mapping[str, Any]) -> None:
    """Refuse a folder with files that were not exported; hidden ones belong to tools, as .git, and are not read."""
    added = sorted(name for name in os.listdir(folder) if name not in {MANIFEST, *named} and not name.startswith("."))
    if added:
        raise ModelTampered(f"{folder} has {added[0]!r}, which was not exported with it: move it elsewhere")


def _versions(manifest: Mapping[str, Any]) -> dict[str, str]:
    said = manifest.get("versions")
    return {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else {}


def _check_types(path: Path, content: bytes, trusted: list[str]) -> None:
    from skops.io import get_untrusted_types

    foreign = [name for name in get_untrusted_types(data=content) if name not in {*KNOWN_TYPES, *trusted}]
    if foreign:
        raise UntrustedModel(
            f"{path} holds {', '.join(foreign)}, which nobody said to trust: if you know it, say trusted={foreign!r}"
        )


def _warn_of_versions(folder: Path, versions: Mapping[str, str]) -> None:
    made, here = versions.get("scikit-learn"), version("scikit-learn")
    if made is not None and made.split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"{folder} was made with scikit-learn {made}, and this is {here}: its predictions may differ",
            UserWarning,
            stacklevel=3,
        )


def _made_with(manifest: Mapping[str, Any]) -> str:
    versions = _versions(manifest)
    return "it was made with " + ", ".join(
        f"{name} {versions[name]}" for name in ("python", "scikit-learn") if name in versions
    )
