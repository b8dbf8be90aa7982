// Renders what deploy/ holds with Helm's and Kustomize's own code: the part of both that needs no cluster.
//
//	render template CHART RELEASE NAMESPACE [VALUES-FILE ...]   manifests, as `helm template` prints them
//	render notes    CHART RELEASE NAMESPACE [VALUES-FILE ...]   NOTES.txt, as `helm install` prints it
//	render kustomize DIRECTORY                                  manifests, as `kubectl kustomize` prints them
package main

import (
	"fmt"
	"os"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const usage = "usage: render template|notes CHART RELEASE NAMESPACE [VALUES-FILE ...] | render kustomize DIRECTORY"

func main() {
	output, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "render: "+err.Error())
		os.Exit(1)
	}
	fmt.Print(output)
}

func run(arguments []string) (string, error) {
	switch {
	case len(arguments) >= 4 && (arguments[0] == "template" || arguments[0] == "notes"):
		files, err := render(arguments[1], arguments[2], arguments[3], arguments[4:])
		if err != nil {
			return "", err
		}
		return pick(files, arguments[0] == "notes"), nil
	case len(arguments) == 2 && arguments[0] == "kustomize":
		return kustomize(arguments[1])
	default:
		return "", fmt.Errorf("%s", usage)
	}
}

// render answers with the text of each template by its path within the chart; the values are held to the schema.
func render(directory, release, namespace string, valueFiles []string) (map[string]string, error) {
	loaded, err := loader.Load(directory)
	if err != nil {
		return nil, err
	}
	values := map[string]interface{}{}
	for _, file := range valueFiles {
		more, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		// Later files win, as with `helm --values`.
		values = chartutil.CoalesceTables(more, values)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	scope, err := chartutil.ToRenderValues(loaded, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return strict(loaded, scope)
}

// strict refuses to print what a template takes from a value that is not there.
func strict(loaded *chart.Chart, scope chartutil.Values) (map[string]string, error) {
	return engine.Engine{Strict: true}.Render(loaded, scope)
}

// pick leaves out partials, templates that came out empty, and either the notes or everything else.
func pick(files map[string]string, notes bool) string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var output strings.Builder
	for _, name := range names {
		text := strings.TrimSpace(files[name])
		isNotes := path.Base(name) == "NOTES.txt"
		if strings.HasPrefix(path.Base(name), "_") || text == "" || isNotes != notes {
			continue
		}
		if notes {
			output.WriteString(text + "\n")
			continue
		}
		fmt.Fprintf(&output, "---\n# Source: %s\n%s\n", name, strings.TrimPrefix(text, "---\n"))
	}
	return output.String()
}

func kustomize(directory string) (string, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), directory)
	if err != nil {
		return "", err
	}
	text, err := resources.AsYaml()
	return string(text), err
}
