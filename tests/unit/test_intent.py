from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from k8s_installer import desired
from k8s_installer.errors import TemplateError
from k8s_installer.flows import resolve
from k8s_installer.model.resources import File
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


def test_everything_is_rendered_once_whether_keys_are_there_or_not(path: Path, renderings: Renderings) -> None:
    resolve.resolve(path, None, resolve.present_keys)
    assert [b"BEGIN" in pki["ca.crt"] for pki in renderings] == [False]
    first = resolve.resolve(path, None, resolve.real_keys)
    renderings.clear()
    assert resolve.resolve(path, None, resolve.present_keys) == first
    assert len(renderings) == 1


def test_without_keys_none_is_read_or_made(path: Path, renderings: Renderings) -> None:
    resolve.resolve(path, None, resolve.real_keys)
    renderings.clear()
    resolve.resolve(path, None, None)
    assert [pki["ca.crt"] for pki in renderings] == [b"<ca.crt>\n"]


def test_what_only_looks_writes_nothing(path: Path) -> None:
    wanted = resolve.resolve(path, None, resolve.present_keys)
    assert not (path.parent / ".k8s-installer").exists()
    pending = {
        ref.name: item.resource.pending
        for ref, item in wanted.desired.items()
        if isinstance(item.resource, File) and item.resource.pending
    }
    assert set(pending.values()) == {"created by the first apply", "not created yet"}
    assert {"/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/encryption.yaml"} <= pending.keys()
    assert "/etc/kubernetes/scheduler" not in pending


def test_an_address_that_is_edited_and_put_back_issues_nothing(path: Path) -> None:
    resolve.resolve(path, None, resolve.real_keys)
    keys = keys_of(path)
    path.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    assert set(resolve.resolve(path, None, resolve.present_keys).keys.pending) == {"n1/kubelet.crt", "n1/kubelet.key"}
    path.write_text(TEXT, encoding="utf-8")
    assert not resolve.resolve(path, None, resolve.present_keys).keys.pending
    assert keys_of(path) == keys


def test_what_was_planned_gets_its_keys_and_nothing_else_changes(path: Path) -> None:
    resolve.resolve(path, None, resolve.real_keys)
    path.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    planned = resolve.resolve(path, None, resolve.present_keys)
    some = {ref: item for ref, item in planned.desired.items() if ref.host == "n1"}
    whole = resolve.resolve(path, None, resolve.real_keys)
    given = resolve.with_keys(replace(planned, desired=some), whole)
    assert given.desired == {ref: item for ref, item in whole.desired.items() if ref.host == "n1"}
    changed = {ref.name for ref in some if given.desired[ref] != some[ref]}
    assert changed == {"/etc/kubernetes/pki/kubelet.crt", "/etc/kubernetes/pki/kubelet.key"}


@pytest.mark.parametrize("before", ["no key is there", "a certificate no longer fits"])
def test_a_template_s_mistake_shows_before_any_key_is_made(path: Path, before: str) -> None:
    if before != "no key is there":
        resolve.resolve(path, None, resolve.real_keys)
        path.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    keys = keys_of(path)
    put_mistake(path)
    with pytest.raises(TemplateError, match="no_such_name"):
        resolve.resolve(path, None, resolve.present_keys)
    assert keys_of(path) == keys
    assert (path.parent / ".k8s-installer").exists() == bool(keys)


def test_a_cluster_that_was_renamed_is_found_by_the_sum_of_its_ca(path: Path) -> None:
    made = resolve.resolve(path, None, resolve.real_keys)
    digest = hashlib.sha256(made.keys["ca.crt"]).hexdigest()
    assert resolve.renamed_from(made.cluster, {digest}) == ""
    other = replace(made.cluster, name="renamed")
    assert resolve.renamed_from(other, {digest}) == "lab"
    assert resolve.renamed_from(other, {"0" * 64}) == ""
