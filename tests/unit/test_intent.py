from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer import desired, intent
from k8s_installer.errors import TemplateError
from k8s_installer.pki import Pki
from tests.unit.test_inventory import GOOD

TEXT = GOOD.replace('"1.5.2"', '"1.20.2"')
Renderings = list[Pki]


@pytest.fixture
def renderings(monkeypatch: pytest.MonkeyPatch) -> Renderings:
    """The keys with which everything was rendered, time after time."""
    with_keys: Renderings = []
    real = desired.desire

    def counted(*arguments: object) -> desired.Desired:
        with_keys.append(arguments[2])  # type: ignore[arg-type]
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(desired, "desire", counted)
    return with_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "cluster.yaml"


def keys_of(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in (path.parent / ".k8s-installer").rglob("*") if file.is_file()}


def put_mistake(path: Path) -> None:
    template = path.parent / "templates" / "kubernetes" / "proxy.j2"
    template.parent.mkdir(parents=True)
    template.write_text("{{ no_such_name }}", encoding="utf-8")


def test_what_was_rendered_with_the_keys_that_are_there_is_not_rendered_again(
    path: Path, renderings: Renderings
) -> None:
    first = intent.resolve(path, None, intent.real_keys)
    assert [b"BEGIN" in pki["ca.crt"] for pki in renderings] == [False, True]
    renderings.clear()
    assert intent.resolve(path, None, intent.real_keys) == first
    assert len(renderings) == 1


def test_without_keys_none_is_read_or_made(path: Path, renderings: Renderings) -> None:
    intent.resolve(path, None, intent.real_keys)
    renderings.clear()
    intent.resolve(path, None, None)
    assert [pki["ca.crt"] for pki in renderings] == [b"<ca.crt>\n"]


def test_a_certificate_that_is_made_anew_is_in_what_is_wanted(path: Path, renderings: Renderings) -> None:
    intent.resolve(path, None, intent.real_keys)
    renderings.clear()
    path.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    wanted = intent.resolve(path, None, intent.real_keys)
    assert len(renderings) == 2
    contents = {getattr(item.resource, "content", b"") for item in wanted.desired.values()}
    assert renderings[1]["n1/kubelet.key"] in contents
    assert renderings[0]["n1/kubelet.key"] not in contents


@pytest.mark.parametrize("before", ["no key is there", "a certificate no longer fits", "a key is damaged"])
def test_a_template_s_mistake_shows_before_any_key_is_made(path: Path, before: str) -> None:
    if before != "no key is there":
        intent.resolve(path, None, intent.real_keys)
    if before == "a certificate no longer fits":
        path.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    if before == "a key is damaged":
        (path.parent / ".k8s-installer" / "lab" / "pki" / "n1" / "kubelet.key").write_bytes(b"\xff\xfe")
    keys = keys_of(path)
    put_mistake(path)
    with pytest.raises(TemplateError, match="no_such_name"):
        intent.resolve(path, None, intent.real_keys)
    assert keys_of(path) == keys
    assert (path.parent / ".k8s-installer").exists() == bool(keys)
