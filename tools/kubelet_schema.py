"""The keys of a kubelet's configuration file and their types, as JSON, read from the Go types of its own module.

    python -m tools.kubelet_schema 1.20.2 >k8s_installer/profiles/schemas/kubelet-1.20.2.json

Needs Go. The module `k8s.io/kubelet` of the version (v0.20.2 for 1.20.2) comes through Go's module proxy, checked by
Go's checksum database. A word is the type of a scalar; a list has the type of its items, `{"*": TYPE}` is a map.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubelet/config/v1beta1"
)

func shape(t reflect.Type) interface{} {
	switch t {
	case reflect.TypeOf(metav1.Duration{}):
		return "duration"
	case reflect.TypeOf(metav1.Time{}):
		return "time"
	case reflect.TypeOf(resource.Quantity{}):
		return "quantity"
	}
	switch t.Kind() {
	case reflect.Ptr:
		return shape(t.Elem())
	case reflect.Slice:
		return []interface{}{shape(t.Elem())}
	case reflect.Map:
		return map[string]interface{}{"*": shape(t.Elem())}
	case reflect.Struct:
		fields := map[string]interface{}{}
		for i := 0; i < t.NumField(); i++ {
			name := strings.Split(t.Field(i).Tag.Get("json"), ",")[0]
			if name != "" {
				fields[name] = shape(t.Field(i).Type)
			}
		}
		return fields
	}
	return t.Kind().String()
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(shape(reflect.TypeOf(v1beta1.KubeletConfiguration{}))); err != nil {
		panic(err)
	}
}
"""


def schema(version: str) -> str:
    """The schema of a Kubernetes version, such as 1.20.2."""
    module = f"k8s.io/kubelet@v0.{version.removeprefix('1.')}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.go").write_text(PROGRAM, encoding="utf-8")
        for command in (["mod", "init", "schema"], ["get", module], ["mod", "tidy"]):
            subprocess.run(["go", *command], cwd=folder, check=True, capture_output=True)
        made = subprocess.run(["go", "run", "."], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout


if __name__ == "__main__":
    sys.stdout.write(schema(sys.argv[1]))
