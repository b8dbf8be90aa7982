{{- define "controller.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The pod of the Deployment and of the StatefulSet. */}}
{{- define "controller.podTemplate" -}}
metadata:
  labels:
    {{- include "controller.labels" . | nindent 4 }}
  {{- if or .Values.podAnnotations .Values.rolloutOnConfigChange }}
  annotations:
    {{- if .Values.rolloutOnConfigChange }}
    checksum/config: {{ include "controller.config" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "controller.name" . }}
  # The ServiceAccount itself says no; this pod needs it.
  automountServiceAccountToken: true
  enableServiceLinks: false
  # shutdown_delay, 15 s for what runs, and room.
  terminationGracePeriodSeconds: 60
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    podAntiAffinity:
      {{- if eq .Values.podAntiAffinity "required" }}
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "controller.selector" . | nindent 14 }}
      {{- else }}
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "controller.selector" . | nindent 16 }}
      {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "labelSelector" (dict "matchLabels" (include "controller.selector" $ | fromYaml)) }}
    - {{- toYaml (ternary . (merge (deepCopy .) $own) (hasKey . "labelSelector")) | nindent 6 }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  initContainers:
    # A configuration or a plugin that cannot be used keeps the old pods in service.
    - name: check
      image: {{ include "controller.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [check, --config, /etc/falco-response/config.yaml]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "controller.confined" . | nindent 8 }}
      volumeMounts:
        {{- include "controller.volumeMounts" . | nindent 8 }}
        {{- if dig "plugins" "oci" list .Values.config }}
        # Where it puts what it fetches to look at.
        - name: fetched
          mountPath: /tmp
        {{- end }}
  containers:
    - name: controller
      image: {{ include "controller.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/falco-response/config.yaml]
      env:
        # Names the replica in what is shipped to Graylog.
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: alerts
          containerPort: {{ include "controller.port" (get .Values.config "listen" | default "0.0.0.0:8080") }}
        - name: metrics
          containerPort: {{ include "controller.port" (get .Values.config "admin_listen" | default "127.0.0.1:9090") }}
      # It compiles plugins before it listens: seconds where their compiled code is not cached.
      startupProbe:
        httpGet: {path: /healthz, port: alerts}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: alerts}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: alerts}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "controller.confined" . | nindent 8 }}
      volumeMounts:
        {{- include "controller.volumeMounts" . | nindent 8 }}
        - name: journal
          mountPath: /var/lib/falco-response
  volumes:
    # One directory, where the controller looks by itself: config.yaml, token, and the file `stop` when somebody adds that
    # key to the ConfigMap. No subPath: that would not follow changes.
    - name: settings
      projected:
        # 0440, which newer YAML does not read as octal.
        defaultMode: 288
        sources:
          - configMap:
              name: response-controller-config
          - secret:
              name: {{ include "controller.tokenSecret" . }}
              items:
                - key: token
                  path: token
          {{- with .Values.plugins.pullSecret }}
          - secret:
              name: {{ . }}
              items:
                - key: .dockerconfigjson
                  path: pull-secret.json
          {{- end }}
          {{- with .Values.plugins.signersConfigMap }}
          - configMap:
              name: {{ . }}
              items:
                - key: cosign.pub
                  path: cosign.pub
          {{- end }}
    {{- if dig "plugins" "oci" list .Values.config }}
    - name: fetched
      emptyDir:
        sizeLimit: 512Mi
    {{- end }}
    {{- if not .Values.journal.persistent }}
    - name: journal
      emptyDir:
        sizeLimit: {{ .Values.journal.size }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "controller.volumeMounts" -}}
- name: settings
  mountPath: /etc/falco-response
  readOnly: true
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
