{{/*
What `falco-response-controller rbac` computes from configuration and plugins, for the runbook's two actions: a test holds
what is rendered equal to what it prints. Any other action, and a grant, is more than templates can know.

As JSON: `kill` and `isolate`, the namespaces in which each may act; `places`, both; `owners`, the kinds of owners that
are read; `protected`, the kinds that are not to be touched; `untouchable`, their resources.
*/}}
{{- define "controller.access" -}}
{{- $config := .Values.config -}}
{{- $allowed := get $config "allowed_namespaces" | default list -}}
{{- $denied := append (get $config "denied_namespaces" | default list) "kube-system" -}}
{{- $places := dict "kill_pod" dict "isolate_namespace" dict -}}
{{- range $rule := $config.rules -}}
  {{- $actions := list -}}
  {{- if hasKey $rule "action" -}}
    {{- $actions = append $actions $rule.action -}}
  {{- end -}}
  {{- range get $rule "actions" | default list -}}
    {{- $actions = append $actions .action -}}
  {{- end -}}
  {{- range $action := $actions -}}
    {{- if hasKey $places $action -}}
      {{- range $allowed -}}
        {{- if and (not (has . $denied)) (or (not (hasKey $rule "namespaces")) (has . $rule.namespaces)) -}}
          {{- $_ := set (get $places $action) . true -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $protected := list "DaemonSet" "StatefulSet" -}}
{{- if hasKey $config "protected_owners" -}}
  {{- $protected = append $config.protected_owners "DaemonSet" -}}
{{- end -}}
{{- $kinds := list
  (dict "apiVersion" "apps/v1" "kind" "ReplicaSet" "plural" "replicasets")
  (dict "apiVersion" "apps/v1" "kind" "Deployment" "plural" "deployments")
  (dict "apiVersion" "apps/v1" "kind" "StatefulSet" "plural" "statefulsets")
  (dict "apiVersion" "apps/v1" "kind" "DaemonSet" "plural" "daemonsets")
  (dict "apiVersion" "batch/v1" "kind" "Job" "plural" "jobs")
  (dict "apiVersion" "batch/v1" "kind" "CronJob" "plural" "cronjobs")
  (dict "apiVersion" "v1" "kind" "ReplicationController" "plural" "replicationcontrollers") -}}
{{- $owners := list -}}
{{- $untouchable := list -}}
{{- range concat $kinds (get $config "owner_kinds" | default list) -}}
  {{- $group := ternary (splitList "/" .apiVersion | first) "" (contains "/" .apiVersion) -}}
  {{- $resource := printf "%s/%s" $group .plural -}}
  {{- if has .kind $protected -}}
    {{- $untouchable = append $untouchable $resource -}}
  {{- else if not (get . "top_level") -}}
    {{- $owners = append $owners $resource -}}
  {{- end -}}
{{- end -}}
{{- $kill := keys $places.kill_pod | sortAlpha -}}
{{- $isolate := keys $places.isolate_namespace | sortAlpha -}}
{{- dict
  "kill" $kill
  "isolate" $isolate
  "places" (concat $kill $isolate | uniq | sortAlpha)
  "owners" (sortAlpha $owners)
  "protected" ($protected | uniq | sortAlpha)
  "untouchable" ($untouchable | uniq | sortAlpha) | toJson -}}
{{- end }}

{{/* What the configuration asks for beyond the runbook's actions, as a list for people; empty if nothing. */}}
{{- define "controller.unknown" -}}
{{- $unknown := list -}}
{{- range $rule := .Values.config.rules -}}
  {{- if hasKey $rule "action" -}}
    {{- $unknown = append $unknown $rule.action -}}
  {{- end -}}
  {{- range get $rule "actions" | default list -}}
    {{- $unknown = append $unknown .action -}}
  {{- end -}}
{{- end -}}
{{- $unknown = without $unknown "kill_pod" "isolate_namespace" -}}
{{- if dig "plugins" "grants" dict .Values.config -}}
  {{- $unknown = append $unknown "plugins.grants" -}}
{{- end -}}
{{- $unknown | uniq | join ", " -}}
{{- end }}

{{/* ["a", "b"], as the binary writes lists: within CEL and for YAML alike. */}}
{{- define "controller.list" -}}
[{{ range $index, $text := . }}{{ if $index }}, {{ end }}{{ $text | quote }}{{ end }}]
{{- end }}

{{/* Takes the ServiceAccount's user name. */}}
{{- define "controller.matchConditions" -}}
matchConditions:
  - name: the-controller
    expression: {{ printf "request.userInfo.username == \"%s\"" . | toJson }}
  - name: no-question-about-itself
    expression: >-
      !(request.resource.group == 'authorization.k8s.io' &&
      request.resource.resource in ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'])
{{- end }}
