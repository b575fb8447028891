from __future__ import annotations

import pytest

from k8s_installer.errors import InputError
from k8s_installer.planning.select import chosen, narrowed, of_components, on_members
from tests.unit.example import desired


def test_the_order_is_kept_through_what_is_left_out() -> None:
    part = narrowed(desired(), lambda wanted: wanted.ref.name in ("kubernetes-master", "kube-apiserver is ready"))
    gate = next(wanted for wanted in part.values() if wanted.ref.name == "kube-apiserver is ready")
    assert [ref.name for ref in gate.after] == ["kubernetes-master"]


def test_a_host_or_a_component_is_a_part() -> None:
    assert {ref.host for ref in on_members(desired(), {"n1"})} == {"n1"}
    assert {ref.name for ref in of_components(desired(), {"kubelet"})} == {"kubelet"}


def test_names_must_be_known() -> None:
    assert chosen("--limit", "n1, m1", ["m1", "n1"]) == {"n1", "m1"}
    with pytest.raises(InputError, match="--only: there is no kubelte") as caught:
        chosen("--only", "kubelte", ["kubelet", "docker"])
    assert caught.value.hint == "did you mean kubelet?"
    with pytest.raises(InputError) as caught:
        chosen("--limit", "zz", ["m1"])
    assert caught.value.hint == "there are m1"
    with pytest.raises(InputError, match="--limit: no name given"):
        chosen("--limit", ",", ["m1"])
