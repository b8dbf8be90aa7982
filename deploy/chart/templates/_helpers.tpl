{{/* The name is the runbook's, whatever the release is called: its commands and the audit's `operator` say it. */}}
{{- define "controller.name" -}}
falco-response-controller
{{- end }}

{{/* What Services, budgets and policies select. */}}
{{- define "controller.selector" -}}
app: {{ include "controller.name" . }}
{{- end }}

{{/* managed-by and the chart's version are Helm's to add: these manifests are Kustomize's, too. */}}
{{- define "controller.labels" -}}
{{ include "controller.selector" . }}
app.kubernetes.io/name: {{ include "controller.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: response
app.kubernetes.io/part-of: falco
{{- end }}

{{- define "controller.tokenSecret" -}}
{{- $token := .Values.token -}}
{{- if and $token.existingSecret $token.value -}}
{{- fail "set either token.existingSecret or token.value, not both" -}}
{{- else if $token.existingSecret -}}
{{- $token.existingSecret -}}
{{- else if $token.value -}}
{{- if lt (len $token.value) 16 -}}
{{- fail "token.value is shorter than 16 bytes: take, for example, the output of `openssl rand -hex 32`" -}}
{{- end -}}
falco-response-token
{{- else -}}
{{- fail "no token for X-Falco-Token: set token.existingSecret to a Secret with the key `token`, or token.value; there is no default" -}}
{{- end -}}
{{- end }}

{{- define "controller.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "controller.config" -}}
{{ toYaml .Values.config }}
{{- end }}

{{/* The port of a listen address: what follows the last colon. */}}
{{- define "controller.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end }}
